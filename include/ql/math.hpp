// SPDX-License-Identifier: Apache-2.0
#pragma once

// Elementary functions whose bits are the same on every compiler, at every optimisation level and in every
// instruction set. No libm; every multiply that feeds an add is an explicit fma, so nothing is left to contract.
//
// The bodies are written once over an `Ops` (constants, fma, min, max, ...): scalar_ops<T> here, simd<T, Isa> in the
// CPU kernels. Both perform the same operations in the same order.

#include <ql/config.hpp>

#include <cstdint>
#include <limits>
#include <type_traits>

namespace ql::math {

template <class T>
QL_HD QL_INLINE constexpr T fma(T a, T b, T c) {
  if constexpr (std::is_same_v<T, float>) {
    return __builtin_fmaf(a, b, c);
  } else {
    return __builtin_fma(a, b, c);
  }
}
template <class T>
QL_HD QL_INLINE constexpr T sqrt(T x) {
  if constexpr (std::is_same_v<T, float>) {
    return __builtin_sqrtf(x);
  } else {
    return __builtin_sqrt(x);
  }
}
template <class T>
QL_HD QL_INLINE constexpr T abs(T x) {
  if constexpr (std::is_same_v<T, float>) {
    return __builtin_fabsf(x);
  } else {
    return __builtin_fabs(x);
  }
}
// b when either is NaN, as the x86 instructions do
template <class T>
QL_HD QL_INLINE constexpr T max(T a, T b) {
  return a > b ? a : b;
}
template <class T>
QL_HD QL_INLINE constexpr T min(T a, T b) {
  return a < b ? a : b;
}
// lo <= hi; a NaN stays a NaN
template <class T>
QL_HD QL_INLINE constexpr T clamp(T x, T lo, T hi) {
  return min(hi, max(lo, x));
}
template <class T>
QL_HD QL_INLINE constexpr bool isfinite(T x) {
  return x - x == T(0);
}
// c ? a : b, by bits. As a branch it would come to hold the sums and products that only one side needs, and a compiler
// that must keep floating-point traps does not vectorise a loop with such a branch.
template <class T>
QL_HD QL_INLINE constexpr T select(bool c, T a, T b) {
  using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  const bits mask = bits(0) - static_cast<bits>(c);
  return __builtin_bit_cast(
      T, static_cast<bits>((__builtin_bit_cast(bits, a) & mask) | (__builtin_bit_cast(bits, b) & ~mask)));
}
// c ? a : 0
template <class T>
QL_HD QL_INLINE constexpr T keep_if(bool c, T a) {
  return select(c, a, T(0));
}

template <class T>
struct scalar_ops {
  using value = T;
  using vector = T;
  using bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
  static QL_HD constexpr T set(T x) { return x; }
  static QL_HD QL_INLINE constexpr T fma(T a, T b, T c) { return math::fma(a, b, c); }
  static QL_HD constexpr T add(T a, T b) { return a + b; }
  static QL_HD constexpr T sub(T a, T b) { return a - b; }
  static QL_HD constexpr T mul(T a, T b) { return a * b; }
  static QL_HD QL_INLINE constexpr T min(T a, T b) { return math::min(a, b); }
  static QL_HD QL_INLINE constexpr T max(T a, T b) { return math::max(a, b); }
  // 2^(n - 1) for the integer n in the low bits of t = n + magic
  static QL_HD constexpr T half_scale(T t) {
    constexpr int mantissa = sizeof(T) == 4 ? 23 : 52;
    constexpr bits one_half = sizeof(T) == 4 ? bits(126) << 23 : bits(1022) << (mantissa);
    return __builtin_bit_cast(T, static_cast<bits>((__builtin_bit_cast(bits, t) << mantissa) + one_half));
  }
  // a < b ? x : y
  static QL_HD QL_INLINE constexpr T select_less(T a, T b, T x, T y) { return math::select(a < b, x, y); }
};

namespace detail {

template <class T>
struct exp_constants;
template <>
struct exp_constants<float> {
  static constexpr float magic = 12582912.0f;  // 1.5 * 2^23
  static constexpr float log2e = 1.44269504088896341f;
  static constexpr float ln2_hi = 0.693359375f, ln2_lo = -2.12194440e-4f;
  static constexpr float lowest = -86.5f, highest = 89.0f;
  // minimax on [-ln2/2, ln2/2], x^2 coefficient first to last after 1 + x
  static constexpr float c[] = {1.9875691500e-4f, 1.3981999507e-3f, 8.3334519073e-3f,
                                4.1665795894e-2f, 1.6666665459e-1f, 5.0000001201e-1f};
};
template <>
struct exp_constants<double> {
  static constexpr double magic = 6755399441055744.0;  // 1.5 * 2^52
  static constexpr double log2e = 1.4426950408889634074;
  static constexpr double ln2_hi = 6.93147180369123816490e-01, ln2_lo = 1.90821492927058770002e-10;
  static constexpr double lowest = -707.5, highest = 710.0;
  // Taylor to x^13: the remainder is below 2^-58 on the interval
  static constexpr double c[] = {1.0 / 6227020800.0, 1.0 / 479001600.0, 1.0 / 39916800.0, 1.0 / 3628800.0,
                                 1.0 / 362880.0,     1.0 / 40320.0,     1.0 / 5040.0,     1.0 / 720.0,
                                 1.0 / 120.0,        1.0 / 24.0,        1.0 / 6.0,        0.5};
};

// p r^n + c[Next] r^(n-1) + ... by Horner's rule: spelled without a loop, so that a loop around it vectorises at -O2.
template <class Ops, unsigned Next = 1>
QL_HD QL_INLINE constexpr typename Ops::vector horner(typename Ops::vector p, typename Ops::vector r) {
  using C = exp_constants<typename Ops::value>;
  if constexpr (Next < sizeof(C::c) / sizeof(C::c[0])) {
    return horner<Ops, Next + 1>(Ops::fma(p, r, Ops::set(C::c[Next])), r);
  } else {
    return p;
  }
}

}  // namespace detail

// exp over any Ops; about 1 ulp. Below exp(-86.5) (float) or exp(-707.5) (double) the result is 0; overflow is +inf.
template <class Ops>
QL_HD QL_INLINE constexpr typename Ops::vector exp_over(typename Ops::vector x) {
  using C = detail::exp_constants<typename Ops::value>;
  const auto lowest = Ops::set(C::lowest);
  const auto clamped = Ops::min(Ops::set(C::highest), Ops::max(lowest, x));  // a NaN passes through both
  const auto t = Ops::fma(clamped, Ops::set(C::log2e), Ops::set(C::magic));
  const auto n = Ops::sub(t, Ops::set(C::magic));
  auto r = Ops::fma(n, Ops::set(-C::ln2_hi), clamped);
  r = Ops::fma(n, Ops::set(-C::ln2_lo), r);
  auto p = detail::horner<Ops>(Ops::set(C::c[0]), r);
  p = Ops::fma(Ops::mul(p, r), r, r);
  p = Ops::add(p, Ops::set(1));
  p = Ops::mul(p, Ops::half_scale(t));
  p = Ops::mul(p, Ops::set(2));
  return Ops::select_less(x, lowest, Ops::set(0), p);
}

template <class T>
QL_HD constexpr T exp(T x) {
  return exp_over<scalar_ops<T>>(x);
}

// Natural logarithm, computed in double whatever T; -inf at 0, NaN below.
template <class T>
QL_HD constexpr T log(T value) {
  double x = static_cast<double>(value);
  if (!(x > 0.0)) {
    return x == 0.0 ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::quiet_NaN();
  }
  if (x == std::numeric_limits<double>::infinity()) return std::numeric_limits<T>::infinity();
  int e = 0;
  if (x < 0x1p-1022) {
    x *= 0x1p54;
    e = -54;
  }
  auto u = __builtin_bit_cast(std::uint64_t, x);
  // x = m 2^e with m in [sqrt(1/2), sqrt(2))
  constexpr std::uint64_t sqrt_half = 0x3fe6a09e667f3bcdu;
  const auto shifted = u - sqrt_half;
  e += static_cast<int>(static_cast<std::int64_t>(shifted) >> 52);
  u = (shifted & 0x000fffffffffffffu) + sqrt_half;
  const double m = __builtin_bit_cast(double, u);
  // log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.1716
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double p = 1.0 / 21.0;
  for (int k = 19; k >= 3; k -= 2) p = math::fma(p, z, 1.0 / k);
  const double tail = p * z;  // atanh(s) = s (1 + tail)
  const double two_s = s + s;
  const double en = static_cast<double>(e);
  double r = math::fma(two_s, tail, en * 1.90821492927058770002e-10);
  r = r + two_s;
  return static_cast<T>(math::fma(en, 6.93147180369123816490e-01, r));
}

// x^y for x > 0.
template <class T>
QL_HD constexpr T pow(T x, T y) {
  return static_cast<T>(exp<double>(static_cast<double>(y) * log<double>(static_cast<double>(x))));
}

namespace detail {

// x - n pi/2, |result| <= pi/4; exact to about 1e-16 for |x| < 1e6
QL_HD constexpr double reduce_half_pi(double x, int& quadrant) {
  const double t = math::fma(x, 0.63661977236758134308, 6755399441055744.0);
  const double n = t - 6755399441055744.0;
  double r = math::fma(n, -1.57079632679489655800e+00, x);
  r = math::fma(n, -6.12323399573676603587e-17, r);
  quadrant = static_cast<int>(static_cast<std::int64_t>(n) & 3);
  return r;
}
QL_HD constexpr double sin_core(double r) {
  const double z = r * r;
  double p = 1.58962301576546568060e-10;
  p = math::fma(p, z, -2.50507477628578072866e-8);
  p = math::fma(p, z, 2.75573136213857245213e-6);
  p = math::fma(p, z, -1.98412698295895385996e-4);
  p = math::fma(p, z, 8.33333333332211858878e-3);
  p = math::fma(p, z, -1.66666666666666307295e-1);
  return math::fma(p * z, r, r);
}
QL_HD constexpr double cos_core(double r) {
  const double z = r * r;
  double p = -1.13585365213876817300e-11;
  p = math::fma(p, z, 2.08757008419747316778e-9);
  p = math::fma(p, z, -2.75573141792967388112e-7);
  p = math::fma(p, z, 2.48015872888517045348e-5);
  p = math::fma(p, z, -1.38888888888730564116e-3);
  p = math::fma(p, z, 4.16666666666665929218e-2);
  return math::fma(p * z, z, math::fma(z, -0.5, 1.0));
}

}  // namespace detail

// Radians, |x| < 1e6 (a rotary angle at a million positions).
QL_HD constexpr double sin(double x) {
  int q = 0;
  const double r = detail::reduce_half_pi(x, q);
  const double v = (q & 1) == 0 ? detail::sin_core(r) : detail::cos_core(r);
  return (q & 2) == 0 ? v : -v;
}
QL_HD constexpr double cos(double x) {
  int q = 0;
  const double r = detail::reduce_half_pi(x, q);
  const double v = (q & 1) == 0 ? detail::cos_core(r) : detail::sin_core(r);
  return ((q + 1) & 2) == 0 ? v : -v;
}

}  // namespace ql::math
