// SPDX-License-Identifier: Apache-2.0
#pragma once

// Orders and draws from counter-based random numbers: each is a function of its key alone.

#include <ql/random.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace ql::curriculum {

// What a key of purpose::shuffle is used for; stands in random_key::sample, so that two uses never share a number.
// Numbers from 64 on are free for others, a data loader of a second training stage for instance.
enum class stream : std::uint16_t { epoch, domain, batch, retention, subsample, strata, first_free = 64 };

// `list` numbers the lists of a run (phases), `turn` counts the shuffles of a list.
constexpr random_key shuffle_key(std::uint64_t seed, stream use, std::uint32_t list, std::uint32_t turn) {
  return {.seed = seed,
          .what = purpose::shuffle,
          .example = list,
          .visit = turn,
          .sample = static_cast<std::uint32_t>(use)};
}

// An integer in [0, n), n < 2^32, from 64 random bits: floor(bits n / 2^64), uniform to within n / 2^64.
constexpr std::uint64_t below(std::uint64_t bits, std::uint64_t n) {
  const std::uint64_t low = (bits & 0xFFFFFFFFu) * n;
  return ((bits >> 32) * n + (low >> 32)) >> 32;
}
constexpr std::uint64_t below(const random_key& key, std::uint64_t position, std::uint64_t n) {
  const auto w = random_bits(key, position);
  return below(std::uint64_t{w[1]} << 32 | w[0], n);
}

// Fisher-Yates: every order is equally likely. Uses the positions [first, first + x.size()) of the key's stream.
template <class T>
constexpr void shuffle(std::span<T> x, const random_key& key, std::uint64_t first = 0) {
  for (std::size_t i = x.size(); i > 1; --i) {
    const auto j = below(key, first + (i - 1), i);
    std::swap(x[i - 1], x[j]);
  }
}

}  // namespace ql::curriculum
