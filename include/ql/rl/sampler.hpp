// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/random.hpp>
#include <ql/tensor/distribution.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ql::rl {

// What a sampler drew. `kept` are the ids of the support it drew from, in the order of its choosing; empty = all.
struct draw {
  token id = 0;
  std::span<const token> kept;
  double kept_mass = 1;  // probability of the support under the untruncated softmax
};

// Draws a token from a row: a pure function of the row and u in (0, 1). Memory is the sampler's own and is reused.
template <class S, class A>
concept sampler = requires(S& s, const logits_row<A>& row, double u) {
  { s(row, u) } -> std::same_as<draw>;
  { std::as_const(s).distribution() } -> std::convertible_to<const ql::distribution&>;
};

// The most likely token; the lower id of equals. Scored at the distribution's temperature, untruncated.
class greedy {
 public:
  explicit greedy(double temperature = 1.0) { distribution_.temperature = temperature; }
  const ql::distribution& distribution() const { return distribution_; }
  template <class A>
  draw operator()(const logits_row<A>& row, double) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < row.z.size(); ++i)
      if (row.z[i] > row.z[best]) best = i;
    return {static_cast<token>(best), {}, 1.0};
  }

 private:
  ql::distribution distribution_;
};

// Temperature, then top-k, top-p and min-p, by inversion: the first id (or, truncated, the first in descending order of
// probability) whose cumulative probability exceeds u.
//   stochastic draw({.temperature = 0.7, .top_p = 0.95});
class stochastic {
 public:
  static constexpr bool by_inversion = true;
  explicit stochastic(const ql::distribution& d = {}) : distribution_(ql::checked(d)) {
    ql::detail::expects(
        d.rule == support_rule::untruncated || !d.truncated() || (d.top_k > 0 && d.top_k <= max_frozen_support),
        "stochastic", "top_k", "1 to 1024 with a frozen support (it is recorded for every token)", d.top_k);
  }
  const ql::distribution& distribution() const { return distribution_; }

  template <class A>
  draw operator()(const logits_row<A>& row, double u) {
    if (!distribution_.truncated()) return {whole(row, u), {}, 1.0};
    truncate(row);
    double total = 0;
    for (double p : weight_) total += p;
    const double target = u * total;
    double cumulative = 0;
    std::size_t chosen = weight_.size() - 1;
    for (std::size_t i = 0; i < weight_.size(); ++i) {
      cumulative += weight_[i];
      if (target < cumulative) {
        chosen = i;
        break;
      }
    }
    return {order_[chosen], std::span(order_).first(weight_.size()), total};
  }

 private:
  // The blocks of 16 are walked first, then the entries of one: the same order whether the sums are given or made here.
  template <class A>
  token whole(const logits_row<A>& row, double u) {
    const auto n = row.z.size(), blocks = (n + 15) / 16;
    const auto p = [&](std::size_t i) { return i < n ? math::exp(row.z[i] - row.max) : A(0); };
    const auto block_sum = [&](std::size_t b) {
      if (!row.partial.empty()) return row.partial[b];
      A lane[16];
      for (std::size_t i = 0; i < 16; ++i) lane[i] = p(b * 16 + i);
      for (std::size_t w = 8; w > 0; w /= 2)
        for (std::size_t i = 0; i < w; ++i) lane[i] = lane[i] + lane[i + w];
      return lane[0];
    };
    weight_.resize(blocks);
    double total = 0;
    for (std::size_t b = 0; b < blocks; ++b) total += weight_[b] = static_cast<double>(block_sum(b));
    const double target = u * total;
    double cumulative = 0;
    std::size_t block = 0, last = 0;  // the last block with any probability takes what rounding leaves over
    for (; block < blocks; ++block) {
      if (weight_[block] > 0) last = block;
      if (target < cumulative + weight_[block]) break;
      cumulative += weight_[block];
    }
    if (block == blocks) block = last;
    std::size_t chosen = block * 16;
    for (std::size_t i = block * 16; i < std::min(n, block * 16 + 16); ++i) {
      const auto mass = static_cast<double>(p(i));
      if (mass > 0) chosen = i;
      cumulative += mass;
      if (mass > 0 && target < cumulative) break;
    }
    return static_cast<token>(chosen);
  }

  // order_ = the kept ids, most likely first; weight_ = their probabilities
  template <class A>
  void truncate(const logits_row<A>& row) {
    const auto n = row.z.size();
    order_.resize(n);
    for (std::size_t i = 0; i < n; ++i) order_[i] = static_cast<token>(i);
    const auto before = [&](token a, token b) {
      const A x = row.z[static_cast<std::size_t>(a)], y = row.z[static_cast<std::size_t>(b)];
      return x > y || (x == y && a < b);
    };
    const auto probability = [&](token id) {
      return static_cast<double>(math::exp(row.z[static_cast<std::size_t>(id)] - row.max)) /
             static_cast<double>(row.sum);
    };
    std::size_t limit =
        distribution_.top_k > 0 ? std::min<std::size_t>(n, static_cast<std::size_t>(distribution_.top_k)) : n;
    // sort only as far as the support reaches
    std::size_t sorted = 0;
    weight_.clear();
    double top_k_mass = 1.0;
    if (distribution_.top_k > 0 && limit < n) {
      std::nth_element(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(limit - 1), order_.end(), before);
      std::sort(order_.begin(), order_.begin() + static_cast<std::ptrdiff_t>(limit), before);
      sorted = limit;
      top_k_mass = 0;
      for (std::size_t i = 0; i < limit; ++i) top_k_mass += probability(order_[i]);
    }
    double mass = 0, top = 0;
    for (std::size_t i = 0; i < limit; ++i) {
      if (i == sorted) {
        const auto next = std::min(limit, std::max<std::size_t>(64, 2 * sorted));
        if (next < limit)
          std::nth_element(order_.begin() + static_cast<std::ptrdiff_t>(sorted),
                           order_.begin() + static_cast<std::ptrdiff_t>(next - 1), order_.end(), before);
        std::sort(order_.begin() + static_cast<std::ptrdiff_t>(sorted),
                  order_.begin() + static_cast<std::ptrdiff_t>(next), before);
        sorted = next;
      }
      const double p = probability(order_[i]);
      if (i == 0) top = p;
      // top_p counts within what top_k left; the token that reaches it is kept. min_p is relative to the largest.
      if (i > 0 && (mass >= distribution_.top_p * top_k_mass || p < distribution_.min_p * top)) break;
      weight_.push_back(p);
      mass += p;
    }
  }

  ql::distribution distribution_;
  std::vector<token> order_;
  std::vector<double> weight_;
};

}  // namespace ql::rl
