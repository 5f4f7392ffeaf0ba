// SPDX-License-Identifier: Apache-2.0
#include <ql/math.hpp>

#include "support/numbers.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace {

namespace math = ql::math;

template <class T>
constexpr T inf = std::numeric_limits<T>::infinity();
template <class T>
constexpr T nan = std::numeric_limits<T>::quiet_NaN();

// |got - exact| in units of the last place of T at `exact`
template <class T>
double ulps(T got, long double exact) {
  if (std::isinf(got) || std::isinf(static_cast<T>(exact))) return got == static_cast<T>(exact) ? 0 : 1e9;
  int e = 0;
  std::frexp(exact, &e);
  e = std::max(e, std::numeric_limits<T>::min_exponent);
  return static_cast<double>(std::fabs(got - exact) / std::ldexp(1.0L, e - std::numeric_limits<T>::digits));
}

struct worst {
  double error = 0;
  double at = 0;
  template <class T>
  void see(T x, T got, long double exact) {
    const double e = ulps(got, exact);
    if (!(e <= error)) error = e, at = static_cast<double>(x);
  }
};

template <class T>
class Math : public testing::Test {};
using types = testing::Types<float, double>;
TYPED_TEST_SUITE(Math, types);

TYPED_TEST(Math, ExpStaysWithinOneUlp) {
  using T = TypeParam;
  constexpr bool is_float = sizeof(T) == 4;
  const double lowest = is_float ? -86.5 : -707.5, highest = is_float ? 88.72 : 709.78;
  ql::test::numbers r(1);
  worst w;
  for (int i = 0; i < 300000; ++i) {
    const auto x = static_cast<T>(r.uniform(lowest, highest));
    w.see(x, math::exp(x), std::exp(static_cast<long double>(x)));
    const auto small = static_cast<T>(r.uniform(-2, 2) * std::exp2(r.uniform(-40, 0)));
    w.see(small, math::exp(small), std::exp(static_cast<long double>(small)));
  }
  EXPECT_LE(w.error, 1.0) << "at " << w.at;
}

TYPED_TEST(Math, ExpSpecialValues) {
  using T = TypeParam;
  constexpr bool is_float = sizeof(T) == 4;
  EXPECT_EQ(math::exp(T(0)), T(1));
  EXPECT_EQ(math::exp(T(-0.0)), T(1));
  EXPECT_EQ(math::exp(inf<T>), inf<T>);
  EXPECT_EQ(math::exp(-inf<T>), T(0));
  EXPECT_TRUE(std::isnan(math::exp(nan<T>)));
  EXPECT_EQ(math::exp(std::numeric_limits<T>::denorm_min()), T(1));
  EXPECT_EQ(math::exp(std::numeric_limits<T>::max()), inf<T>);
  EXPECT_EQ(math::exp(std::numeric_limits<T>::lowest()), T(0));
  // overflow: the last argument whose exponential is finite, and the next one
  const T last = is_float ? T(88.72283172607421875) : T(709.78271289338397);
  EXPECT_TRUE(std::isfinite(math::exp(last)));
  EXPECT_EQ(math::exp(std::nextafter(last, inf<T>)), inf<T>);
  // the floor: normal just above, zero just below; nothing subnormal in between
  const T floor = is_float ? T(-86.5) : T(-707.5);
  EXPECT_GE(math::exp(floor), std::numeric_limits<T>::min());
  EXPECT_EQ(math::exp(std::nextafter(floor, -inf<T>)), T(0));
}

TYPED_TEST(Math, ExpIsMonotoneAcrossItsReductionSteps) {
  using T = TypeParam;
  for (int n = -100; n <= 100; ++n) {
    T x = static_cast<T>((n + 0.5) * 0.69314718055994530942);
    for (int i = 0; i < 20; ++i) x = std::nextafter(x, -inf<T>);
    T before = math::exp(x);
    for (int i = 0; i < 40; ++i) {
      x = std::nextafter(x, inf<T>);
      const T now = math::exp(x);
      // neighbours may round the wrong way by the error bound, never more
      ASSERT_GE(now, before * (1 - 2 * std::numeric_limits<T>::epsilon())) << n;
      before = now;
    }
  }
}

// In double the last addition rounds twice near 1, where log is small: up to 2.5 ulps. Float is rounded from double.
TYPED_TEST(Math, LogStaysWithinItsBound) {
  using T = TypeParam;
  ql::test::numbers r(2);
  worst w;
  const double emin = std::numeric_limits<T>::min_exponent - std::numeric_limits<T>::digits + 1,
               emax = std::numeric_limits<T>::max_exponent - 1e-3;
  for (int i = 0; i < 300000; ++i) {
    const auto x = static_cast<T>(std::exp2(r.uniform(emin, emax)));
    if (x > T(0)) w.see(x, math::log(x), std::log(static_cast<long double>(x)));
    const auto near_one = static_cast<T>(1 + r.uniform(-0.4, 0.4) * std::exp2(r.uniform(-50, 0)));
    w.see(near_one, math::log(near_one), std::log(static_cast<long double>(near_one)));
  }
  EXPECT_LE(w.error, sizeof(T) == 4 ? 0.51 : 2.5) << "at " << w.at;
}

TYPED_TEST(Math, LogSpecialValues) {
  using T = TypeParam;
  EXPECT_EQ(math::log(T(1)), T(0));
  EXPECT_EQ(math::log(T(0)), -inf<T>);
  EXPECT_EQ(math::log(T(-0.0)), -inf<T>);
  EXPECT_EQ(math::log(inf<T>), inf<T>);
  EXPECT_TRUE(std::isnan(math::log(T(-1))));
  EXPECT_TRUE(std::isnan(math::log(-inf<T>)));
  EXPECT_TRUE(std::isnan(math::log(nan<T>)));
  EXPECT_TRUE(std::isnan(math::log(-std::numeric_limits<T>::denorm_min())));
  for (T x : {std::numeric_limits<T>::denorm_min(), std::numeric_limits<T>::min(), std::numeric_limits<T>::max()})
    EXPECT_LE(ulps(math::log(x), std::log(static_cast<long double>(x))), 1.0) << x;
  for (int e = -60; e <= 60; ++e)
    EXPECT_LE(ulps(math::log(std::ldexp(T(1), e)), e * 0.6931471805599453094172321214581766L), 1.0) << e;
}

// pow rounds y log x once in double: the error of the result grows with |y log x|, half a unit per unit of it and one.
TYPED_TEST(Math, PowWithinTheErrorOfItsExponent) {
  using T = TypeParam;
  ql::test::numbers r(3);
  for (int i = 0; i < 200000; ++i) {
    const auto x = static_cast<T>(std::exp2(r.uniform(-20, 20)));
    const auto y = static_cast<T>(r.uniform(-4, 4));
    const long double exact = std::pow(static_cast<long double>(x), static_cast<long double>(y));
    if (exact < static_cast<long double>(std::numeric_limits<T>::min()) * 4) continue;
    const double exponent = std::fabs(static_cast<double>(y) * std::log(static_cast<double>(x)));
    const double bound = sizeof(T) == 4 ? 0.51 : 2 + 3 * exponent;
    ASSERT_LE(ulps(math::pow(x, y), exact), bound) << x << " " << y;
  }
  EXPECT_EQ(math::pow(T(2), T(0)), T(1));
  EXPECT_EQ(math::pow(T(1), T(1000)), T(1));
  EXPECT_EQ(math::pow(T(10), T(1000)), inf<T>);
  EXPECT_EQ(math::pow(T(10), T(-1000)), T(0));
  EXPECT_TRUE(std::isnan(math::pow(T(-1), T(2)))) << "only x > 0 is in its domain";
}

TYPED_TEST(Math, SmallFunctions) {
  using T = TypeParam;
  EXPECT_EQ(math::max(T(1), T(2)), T(2));
  EXPECT_EQ(math::min(T(1), T(2)), T(1));
  EXPECT_EQ(math::max(nan<T>, T(2)), T(2)) << "the second when either is NaN, as the x86 instruction";
  EXPECT_TRUE(std::isnan(math::max(T(2), nan<T>)));
  EXPECT_EQ(math::min(nan<T>, T(2)), T(2));
  EXPECT_TRUE(std::signbit(math::max(T(0.0), T(-0.0)))) << "the second of two zeros";
  EXPECT_EQ(math::clamp(T(5), T(0), T(3)), T(3));
  EXPECT_EQ(math::clamp(T(-5), T(0), T(3)), T(0));
  EXPECT_EQ(math::clamp(inf<T>, T(0), T(3)), T(3));
  EXPECT_TRUE(std::isnan(math::clamp(nan<T>, T(0), T(3))));
  EXPECT_EQ(math::abs(T(-3)), T(3));
  EXPECT_FALSE(std::signbit(math::abs(T(-0.0))));
  EXPECT_EQ(math::abs(-inf<T>), inf<T>);
  EXPECT_TRUE(math::isfinite(std::numeric_limits<T>::max()));
  EXPECT_FALSE(math::isfinite(inf<T>) || math::isfinite(-inf<T>) || math::isfinite(nan<T>));
  EXPECT_EQ(math::sqrt(T(2)), std::sqrt(T(2)));
  EXPECT_EQ(math::fma(T(1) + std::numeric_limits<T>::epsilon(), T(1) - std::numeric_limits<T>::epsilon(), T(-1)),
            -std::numeric_limits<T>::epsilon() * std::numeric_limits<T>::epsilon())
      << "one rounding, not two";
}

// GCC evaluates its fma and sqrt builtins in constant expressions; clang up to 19 does not.
#if defined(__GNUC__) && !defined(__clang__)
template <class T, class F>
constexpr auto table(F f) {
  struct {
    T x[64], y[64];
  } t{};
  for (int i = 0; i < 64; ++i) {
    t.x[i] = static_cast<T>(-31.7 + 1.013 * i);
    t.y[i] = f(t.x[i]);
  }
  return t;
}
TYPED_TEST(Math, CompileTimeEqualsRunTime) {
  using T = TypeParam;
  const auto check = [](const auto& t, auto f, const char* name) {
    for (int i = 0; i < 64; ++i) {
      volatile T x = t.x[i];
      ASSERT_EQ(ql::test::difference(t.y[i], f(T(x))), "") << name << " " << t.x[i];
    }
  };
  constexpr auto exp = [](T x) { return math::exp(x); };
  constexpr auto log = [](T x) { return math::log(math::abs(x)); };
  constexpr auto pow = [](T x) { return math::pow(math::abs(x), T(0.37)); };
  constexpr auto sin = [](T x) { return static_cast<T>(math::sin(static_cast<double>(x))); };
  constexpr auto cos = [](T x) { return static_cast<T>(math::cos(static_cast<double>(x))); };
  static constexpr auto e = table<T>(exp), l = table<T>(log), p = table<T>(pow), s = table<T>(sin), c = table<T>(cos);
  check(e, exp, "exp");
  check(l, log, "log");
  check(p, pow, "pow");
  check(s, sin, "sin");
  check(c, cos, "cos");
}
#endif

double exact_sin(double x) { return static_cast<double>(std::sin(static_cast<long double>(x))); }

// |x| < 1e6, as the header says; the error stays below two units in the last place of the result, however small it is.
TEST(Trigonometry, WithinTwoUlpsUpToAMillion) {
  ql::test::numbers r(4);
  worst s, c;
  for (int i = 0; i < 300000; ++i) {
    const double x = i % 3 == 0   ? r.uniform(-1e6, 1e6)
                     : i % 3 == 1 ? r.uniform(-10, 10)
                                  : static_cast<double>(static_cast<float>(r.below(1000000)) * 0.1f);
    s.see(x, math::sin(x), std::sin(static_cast<long double>(x)));
    c.see(x, math::cos(x), std::cos(static_cast<long double>(x)));
  }
  EXPECT_LE(s.error, 2.0) << "sin at " << s.at;
  EXPECT_LE(c.error, 2.0) << "cos at " << c.at;
}

TEST(Trigonometry, NearMultiplesOfHalfPi) {
  ql::test::numbers r(5);
  double worst_absolute = 0;
  for (int i = 0; i < 100000; ++i) {
    const auto n = static_cast<double>(r.below(600000));
    const double x = n * 1.57079632679489661923 + r.uniform(-1, 1) * std::exp2(r.uniform(-30, -3));
    worst_absolute = std::max(worst_absolute, std::fabs(math::sin(x) - exact_sin(x)));
    const double s = math::sin(x), c = math::cos(x);
    ASSERT_NEAR(s * s + c * c, 1.0, 4e-16);
  }
  EXPECT_LE(worst_absolute, 1.2e-16);
}

TEST(Trigonometry, SpecialValues) {
  EXPECT_EQ(math::sin(0.0), 0.0);
  EXPECT_EQ(math::cos(0.0), 1.0);
  EXPECT_EQ(math::cos(-0.0), 1.0);
  EXPECT_EQ(math::sin(0x1p-1040), 0x1p-1040);
  for (double x : {0.3, 1.0, 2.0, 3.0, 5.0, 12345.6}) {
    EXPECT_EQ(math::sin(-x), -math::sin(x));
    EXPECT_EQ(math::cos(-x), math::cos(x));
  }
}

}  // namespace
