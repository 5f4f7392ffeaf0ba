// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/config.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>

namespace ql {

// The upper half of an IEEE binary32. Storage only: arithmetic happens in float.
struct bf16 {
  std::uint16_t bits = 0;

  bf16() = default;
  // Rounds to nearest, ties to even; a NaN stays a (quiet) NaN.
  QL_HD QL_INLINE constexpr explicit bf16(float x) : bits(round(x)) {}
  QL_HD QL_INLINE constexpr explicit operator float() const {
    return __builtin_bit_cast(float, static_cast<std::uint32_t>(bits) << 16);
  }
  QL_HD static constexpr bf16 from_bits(std::uint16_t b) {
    bf16 v;
    v.bits = b;
    return v;
  }
  friend constexpr bool operator==(bf16 a, bf16 b) { return static_cast<float>(a) == static_cast<float>(b); }

 private:
  QL_HD QL_INLINE static constexpr std::uint16_t round(float x) {
    const auto u = __builtin_bit_cast(std::uint32_t, x);
    if ((u & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((u >> 16) | 0x40u);
    return static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
};
static_assert(sizeof(bf16) == 2);

// What weights and activations may be made of.
template <class T>
concept scalar = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, bf16>;

namespace detail {
template <class T>
struct accumulate {
  using type = T;
};
template <>
struct accumulate<bf16> {
  using type = float;
};
}  // namespace detail

// Sums, master weights, gradients, log-probs and the residual stream of a T model.
template <class T>
using accumulate_t = typename detail::accumulate<T>::type;

template <scalar T>
inline constexpr std::string_view scalar_name = std::same_as<T, float>    ? "float"
                                                : std::same_as<T, double> ? "double"
                                                                          : "bf16";

using token = std::int32_t;

}  // namespace ql
