// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/config.hpp>

#include <array>
#include <cstdint>

namespace ql {

// Philox4x32-10, a counter-based generator: 128 bits of counter and 64 of key in, 128 random bits out.
// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11.
// philox4x32({0,0,0,0}, {0,0}) == {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}
QL_HD constexpr std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                                        std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(p1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(p1),
               static_cast<std::uint32_t>(p0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return counter;
}

// What a random number is drawn for. Two purposes never share a number.
enum class purpose : std::uint8_t { train, difficulty, validate, evaluate, shuffle, initialise, generate, test };

// Names one random stream of a run. A stream is a pure function of its key: no state, nothing to save.
// `visit` counts how often `what` has drawn `example` before. A (key, position) pair is used at most once in a run.
struct random_key {
  std::uint64_t seed = 0;
  purpose what = purpose::train;
  std::uint32_t example = 0;
  std::uint32_t visit = 0;   // < 2^24
  std::uint32_t sample = 0;  // < 2^16, the member of the group

  friend constexpr bool operator==(const random_key&, const random_key&) = default;
};

// What Philox is given for the draw at `position` (< 2^48) of the stream `key`. Counter and key hold every field in
// full, so that distinct draws have distinct inputs:
//   counter = {position, example, visit | what << 24, sample | position's upper 16 bits << 16}, key = seed.
struct philox_input {
  std::array<std::uint32_t, 4> counter{};
  std::array<std::uint32_t, 2> key{};
};
QL_HD constexpr philox_input random_input(const random_key& k, std::uint64_t position) {
  return {{static_cast<std::uint32_t>(position), k.example,
           (k.visit & 0xFFFFFFu) | static_cast<std::uint32_t>(k.what) << 24,
           (k.sample & 0xFFFFu) | static_cast<std::uint32_t>(position >> 32) << 16},
          {static_cast<std::uint32_t>(k.seed), static_cast<std::uint32_t>(k.seed >> 32)}};
}

// 128 bits for the draw at `position` (a token's path position, an element's index) of the stream `key`.
QL_HD constexpr std::array<std::uint32_t, 4> random_bits(const random_key& k, std::uint64_t position) {
  const auto in = random_input(k, position);
  return philox4x32(in.counter, in.key);
}

// Uniform in (0, 1), 53 bits, never 0 and never 1. Of the 128 bits, `which` picks the first or the second half.
QL_HD constexpr double uniform(const std::array<std::uint32_t, 4>& bits, int which = 0) {
  const std::uint64_t u = (std::uint64_t{bits[which == 0 ? 1 : 3]} << 32) | bits[which == 0 ? 0 : 2];
  return (static_cast<double>(u >> 12) + 0.5) * 0x1p-52;
}

QL_HD constexpr double uniform(const random_key& k, std::uint64_t position) {
  return uniform(random_bits(k, position));
}

}  // namespace ql
