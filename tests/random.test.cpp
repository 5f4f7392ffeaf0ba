// SPDX-License-Identifier: Apache-2.0
#include <ql/random.hpp>

#include "support/numbers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

namespace {

using ql::purpose;
using ql::random_key;
using words = std::array<std::uint32_t, 4>;

// Random123, tests/kat_vectors: nat 4 32, 10 rounds.
static_assert(ql::philox4x32({0, 0, 0, 0}, {0, 0}) == words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
static_assert(ql::philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
              words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
static_assert(ql::philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
              words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});

TEST(Philox, KnownAnswersAtRunTime) {
  volatile std::uint32_t pi[] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0};
  const words got = ql::philox4x32({pi[0], pi[1], pi[2], pi[3]}, {pi[4], pi[5]});
  EXPECT_EQ(got, (words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// The inverse of random_input: that it exists on the whole domain is the proof that no two draws share an input.
struct drawn {
  random_key key;
  std::uint64_t position;
};
constexpr drawn read_back(const ql::philox_input& in) {
  drawn d{};
  d.key.seed = in.key[0] | std::uint64_t{in.key[1]} << 32;
  d.key.what = static_cast<purpose>(in.counter[2] >> 24);
  d.key.example = in.counter[1];
  d.key.visit = in.counter[2] & 0xFFFFFFu;
  d.key.sample = in.counter[3] & 0xFFFFu;
  d.position = in.counter[0] | std::uint64_t{in.counter[3] >> 16} << 32;
  return d;
}

TEST(RandomKey, EveryFieldIsReadBackFromThePhiloxInput) {
  const std::uint64_t seeds[] = {0, 1, 0xFFFFFFFFu, std::uint64_t{1} << 32, ~std::uint64_t{0}};
  const std::uint32_t examples[] = {0, 1, 0x7FFFFFFFu, 0xFFFFFFFFu};
  const std::uint32_t visits[] = {0, 1, 255, 256, 0xFFFFu, 0x10000u, 0xFFFFFFu};
  const std::uint32_t samples[] = {0, 1, 255, 256, 0xFFFFu};
  const std::uint64_t positions[] = {0, 1, 0xFFFFu, 0xFFFFFFFFu, std::uint64_t{1} << 32, (std::uint64_t{1} << 48) - 1};
  int n = 0;
  for (auto seed : seeds)
    for (int what = 0; what <= static_cast<int>(purpose::test); ++what)
      for (auto example : examples)
        for (auto visit : visits)
          for (auto sample : samples)
            for (auto position : positions) {
              const random_key k{seed, static_cast<purpose>(what), example, visit, sample};
              const auto in = ql::random_input(k, position);
              const auto d = read_back(in);
              ASSERT_TRUE(d.key == k && d.position == position) << n;
              ASSERT_EQ(ql::random_bits(k, position), ql::philox4x32(in.counter, in.key));
              ++n;
            }
  EXPECT_EQ(n, 5 * 8 * 4 * 7 * 5 * 6);
}

// The draws of a busy run, and pairs that differ in one bit of one field: no Philox input occurs twice.
TEST(RandomKey, NoInputIsUsedTwice) {
  using packed = std::array<std::uint64_t, 3>;
  std::vector<packed> all;
  const auto put = [&](const random_key& k, std::uint64_t position) {
    const auto in = ql::random_input(k, position);
    all.push_back({in.counter[0] | std::uint64_t{in.counter[1]} << 32,
                   in.counter[2] | std::uint64_t{in.counter[3]} << 32, in.key[0] | std::uint64_t{in.key[1]} << 32});
  };
  for (const auto what : {purpose::train, purpose::validate, purpose::shuffle})
    for (std::uint32_t example = 0; example < 40; ++example)
      for (std::uint32_t visit = 0; visit < 5; ++visit)
        for (std::uint32_t sample = 0; sample < 16; ++sample)
          for (std::uint64_t position = 0; position < 200; ++position) put({7, what, example, visit, sample}, position);
  const auto in_order = all.size();
  ql::test::numbers r(1);
  std::vector<drawn> pairs;
  for (int i = 0; i < 100000; ++i) {
    // seeds of their own, so that a repeat can only come from the fields
    const random_key k{1000 + static_cast<std::uint64_t>(i), static_cast<purpose>(r.below(8)),
                       static_cast<std::uint32_t>(r.bits()), static_cast<std::uint32_t>(r.below(1 << 24)),
                       static_cast<std::uint32_t>(r.below(1 << 16))};
    const std::uint64_t p = r.bits() >> 16;
    put(k, p);
    auto other = k;
    other.example ^= 1u << r.below(32);
    put(other, p);
    other = k;
    other.visit ^= 1u << r.below(24);
    put(other, p);
    other = k;
    other.sample ^= 1u << r.below(16);
    put(other, p);
    other = k;
    other.what = static_cast<purpose>((static_cast<int>(k.what) + 1) % 8);
    put(other, p);
    put(k, p ^ std::uint64_t{1} << r.below(48));
  }
  EXPECT_EQ(in_order, std::size_t{3} * 40 * 5 * 16 * 200);
  EXPECT_GT(all.size(), std::size_t{2000000});
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
}

TEST(Uniform, LiesStrictlyInsideTheUnitInterval) {
  constexpr double least = ql::uniform(words{0, 0, 0, 0}), most = ql::uniform(words{~0u, ~0u, ~0u, ~0u});
  static_assert(least == 0x1p-53 && most == 1 - 0x1p-53);
  static_assert(ql::uniform(words{0, 0, ~0u, ~0u}, 0) == least && ql::uniform(words{0, 0, ~0u, ~0u}, 1) == most);
  static_assert(ql::uniform(words{0, 0x80000000u, 0, 0}) > 0.5 && ql::uniform(words{~0u, 0x7FFFFFFFu, 0, 0}) < 0.5);
  const random_key k{3, purpose::train, 1, 2, 3};
  EXPECT_EQ(ql::uniform(k, 9), ql::uniform(ql::random_bits(k, 9), 0));
}

double chi_square(const std::vector<std::int64_t>& counts) {
  double n = 0, sum = 0;
  for (auto c : counts) n += static_cast<double>(c);
  const double expected = n / static_cast<double>(counts.size());
  for (auto c : counts) sum += (static_cast<double>(c) - expected) * (static_cast<double>(c) - expected) / expected;
  return sum;
}

// Streams that differ in one field each: uniform, and pairs of neighbours independent. 255 degrees of freedom: mean
// 255, deviation 22.6; 370 is five deviations up, and below 150 would be too good to be true.
TEST(Uniform, ChiSquareOfNeighbouringStreams) {
  for (int field = 0; field < 5; ++field) {
    std::vector<std::int64_t> one(256), two(256), halves(256);
    double before = 0.5, sum = 0;
    constexpr std::uint32_t n = 200000;
    for (std::uint32_t i = 0; i < n; ++i) {
      random_key k{11, purpose::train, 5, 6, 7};
      std::uint64_t position = 8;
      if (field == 0) k.seed = i;
      if (field == 1) k.example = i;
      if (field == 2) k.visit = i;
      if (field == 3) k.sample = i & 0xFFFFu, position = i >> 16;
      if (field == 4) position = i;
      const auto b = ql::random_bits(k, position);
      const double u = ql::uniform(b), v = ql::uniform(b, 1);
      ++one[static_cast<std::size_t>(u * 256)];
      ++two[static_cast<std::size_t>(u * 16) * 16 + static_cast<std::size_t>(before * 16)];
      ++halves[static_cast<std::size_t>(u * 16) * 16 + static_cast<std::size_t>(v * 16)];
      before = u;
      sum += u;
    }
    EXPECT_NEAR(sum / n, 0.5, 5 * 0.2887 / 447.2) << field;
    for (const auto* counts : {&one, &two, &halves}) {
      EXPECT_LT(chi_square(*counts), 370) << field;
      EXPECT_GT(chi_square(*counts), 150) << field;
    }
  }
}

}  // namespace
