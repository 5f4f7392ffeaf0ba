// SPDX-License-Identifier: Apache-2.0
#include <ql/scalar.hpp>

#include "support/numbers.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

namespace {

using ql::bf16;

static_assert(ql::scalar<float> && ql::scalar<double> && ql::scalar<bf16> && !ql::scalar<int> &&
              !ql::scalar<const float>);
static_assert(std::is_same_v<ql::accumulate_t<bf16>, float> && std::is_same_v<ql::accumulate_t<double>, double>);
static_assert(ql::scalar_name<float> == "float" && ql::scalar_name<double> == "double" &&
              ql::scalar_name<bf16> == "bf16");
static_assert(bf16(1.0f).bits == 0x3f80 && static_cast<float>(bf16::from_bits(0xc000)) == -2.0f);
static_assert(std::is_trivially_copyable_v<bf16>);
static_assert(!std::is_convertible_v<float, bf16> && !std::is_convertible_v<bf16, float>);

float from_bits(std::uint32_t u) { return __builtin_bit_cast(float, u); }

TEST(Bf16, EveryValueSurvivesTheRoundTrip) {
  for (std::uint32_t b = 0; b < 0x10000u; ++b) {
    const auto x = bf16::from_bits(static_cast<std::uint16_t>(b));
    const float f = static_cast<float>(x);
    ASSERT_EQ(__builtin_bit_cast(std::uint32_t, f), b << 16);
    const auto back = bf16(f);
    if (std::isnan(f)) {
      ASSERT_TRUE(std::isnan(static_cast<float>(back)));
      ASSERT_EQ(back.bits, b | 0x40u) << "a NaN keeps its sign and payload, and becomes quiet";
    } else {
      ASSERT_EQ(back.bits, b);
      ASSERT_TRUE(back == x);
    }
  }
}

// The nearest bf16 by distances in double; on a tie the one whose last bit is zero. 2^128 stands for infinity.
std::uint16_t reference(float x) {
  const auto u = __builtin_bit_cast(std::uint32_t, x);
  const auto value = [](std::uint32_t magnitude) {
    return magnitude == 0x7f80u ? 0x1p128 : static_cast<double>(from_bits(magnitude << 16));
  };
  const std::uint32_t below = (u & 0x7fffffffu) >> 16;
  const std::uint32_t sign = u >> 31 << 15;
  const double m = std::fabs(static_cast<double>(x));
  if (m == value(below)) return static_cast<std::uint16_t>(sign | below);
  const double down = m - value(below), up = value(below + 1) - m;
  const auto nearest = down < up ? below : up < down ? below + 1 : below % 2 == 0 ? below : below + 1;
  return static_cast<std::uint16_t>(sign | nearest);
}

TEST(Bf16, RoundsToNearestTiesToEven) {
  const auto check = [](std::uint32_t u) {
    if ((u & 0x7fffffffu) >= 0x7f800000u) return;
    const float x = from_bits(u);
    ASSERT_EQ(bf16(x).bits, reference(x)) << std::hex << u;
  };
  // around every boundary and every tie
  for (std::uint32_t b = 0; b < 0x10000u; ++b)
    for (std::uint32_t low : {0x0000u, 0x0001u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) check(b << 16 | low);
  ql::test::numbers r(1);
  for (int i = 0; i < 2000000; ++i) check(static_cast<std::uint32_t>(r.bits()));
}

TEST(Bf16, OverflowInfinityAndNan) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(bf16(inf).bits, 0x7f80);
  EXPECT_EQ(bf16(-inf).bits, 0xff80);
  EXPECT_EQ(bf16(std::numeric_limits<float>::max()).bits, 0x7f80);
  EXPECT_EQ(bf16(from_bits(0x7f7f7fff)).bits, 0x7f7f) << "just below the tie between the largest bf16 and infinity";
  EXPECT_EQ(bf16(from_bits(0x7f7f8000)).bits, 0x7f80) << "the tie goes to the even one";
  EXPECT_EQ(bf16(-0.0f).bits, 0x8000);
  EXPECT_TRUE(bf16(0.0f) == bf16(-0.0f));
  for (std::uint32_t payload : {0x7f800001u, 0x7fbfffffu, 0xff80ffffu, 0x7fc00000u, 0xffffffffu}) {
    const auto x = bf16(from_bits(payload));
    EXPECT_TRUE(std::isnan(static_cast<float>(x))) << std::hex << payload;
    EXPECT_EQ(x.bits & 0x40u, 0x40u) << "quiet";
    EXPECT_FALSE(x == x);
  }
}

}  // namespace
