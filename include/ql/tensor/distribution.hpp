// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/error.hpp>
#include <ql/scalar.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ql {

// What a truncated sampler's log-probs mean.
enum class support_rule : std::uint8_t {
  untruncated,  // log-probs of the whole softmax, whatever was cut off when drawing (the paper)
  frozen,       // the kept ids of each token are recorded; log-probs are renormalised over them, then and later
};

// What tokens are drawn from and scored against: softmax(logits / temperature), cut to a support.
// Order: temperature, top_k, top_p, min_p. Ties are kept or cut by the lower id.
struct distribution {
  double temperature = 1.0;
  std::int32_t top_k = 0;  // 0 = all
  double top_p = 1.0;
  double min_p = 0.0;  // relative to the largest probability
  support_rule rule = support_rule::untruncated;

  constexpr bool truncated() const { return top_k > 0 || top_p < 1.0 || min_p > 0.0; }
  friend bool operator==(const distribution&, const distribution&) = default;
};

inline distribution checked(const distribution& d) {
  detail::expects(d.temperature > 0 && d.temperature <= 100, "distribution", "temperature",
                  "above 0, at most 100 (greedy is a sampler, not a temperature)", d.temperature);
  detail::expects(d.top_k >= 0, "distribution", "top_k", "0 (all) or more", d.top_k);
  detail::expects(d.top_p > 0 && d.top_p <= 1, "distribution", "top_p", "above 0, at most 1", d.top_p);
  detail::expects(d.min_p >= 0 && d.min_p < 1, "distribution", "min_p", "0 or more, below 1", d.min_p);
  return d;
}

inline constexpr std::int64_t max_frozen_support = 1024;

// A sampler that draws as ql::rl::stochastic does says so: a backend whose logits the host cannot read then draws
// itself.
template <class S>
concept draws_by_inversion = requires { requires S::by_inversion; };

// The kept ids of each token of a tree, by token index; an empty range means the whole vocabulary.
struct frozen_support {
  std::vector<std::int64_t> first{0};  // ids[first[i], first[i + 1]) belong to token i
  std::vector<token> ids;
  bool empty() const { return ids.empty(); }
  std::span<const token> of(std::int64_t i) const {
    const auto at = static_cast<std::size_t>(i);
    if (at + 1 >= first.size()) return {};
    return {ids.data() + first[at], static_cast<std::size_t>(first[at + 1] - first[at])};
  }
};

// One row of logits as a sampler sees it: already divided by the temperature.
template <class A>
struct logits_row {
  std::span<const A> z;
  A max = 0;
  A sum = 0;  // of exp(z - max)
  std::span<const A> partial =
      {};  // of exp(z - max) over 16 entries each (lanes i and i + 8, + 4, + 2, + 1); may be empty
};

}  // namespace ql
