// SPDX-License-Identifier: Apache-2.0
#pragma once

// Difficulty-aware retrospective sampling (QwenLong-L1, arXiv 2505.17667, section 3.2): which examples of earlier
// phases go along into the next one.

#include <ql/curriculum/difficulty.hpp>
#include <ql/curriculum/shuffle.hpp>
#include <ql/math.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace ql::curriculum {

// An example of an earlier phase with the mean score of one group of `count` answers.
struct scored_example {
  example_id example = 0;
  std::int64_t count = 0;
  double mean = 0;
  friend bool operator==(const scored_example&, const scored_example&) = default;
};

// What one call of a retention is asked: how many examples, and which of the run's draws this is.
struct retention_request {
  std::int64_t wanted = 0;  // where the retention draws a number
  std::uint64_t seed = 0;
  std::uint32_t draw = 0;  // number of the transition, so that two never share random numbers
};

// `r.needs_scores()` says whether means are read at all (else scoring is spared); `r.retain(scored, request)` returns
// the chosen examples, ascending, none twice.
template <class R>
concept retention =
    std::copyable<R> && requires(const R& r, std::span<const scored_example> scored, const retention_request& q) {
      { r.needs_scores() } -> std::same_as<bool>;
      { r.retain(scored, q) } -> std::same_as<std::vector<example_id>>;
    };

namespace detail {
// The `wanted` candidates with the least keys; equal keys go by example.
template <int = 0>
std::vector<example_id> least(std::vector<std::pair<double, example_id>>& keys, std::int64_t wanted) {
  const auto n = std::min(keys.size(), static_cast<std::size_t>(std::max<std::int64_t>(wanted, 0)));
  std::partial_sort(keys.begin(), keys.begin() + static_cast<std::ptrdiff_t>(n), keys.end());
  std::vector<example_id> out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = keys[i].second;
  std::sort(out.begin(), out.end());
  return out;
}
}  // namespace detail

// As run in the paper: the examples of which no answer was right (mean exactly 0), all of them.
struct zero_accuracy {
  bool needs_scores() const { return true; }
  template <int = 0>
  std::vector<example_id> retain(std::span<const scored_example> scored, const retention_request&) const {
    std::vector<example_id> out;
    for (const auto& s : scored)
      if (s.mean == 0) out.push_back(s.example);
    std::sort(out.begin(), out.end());
    return out;
  }
  friend bool operator==(const zero_accuracy&, const zero_accuracy&) = default;
};

// As written in the paper: drawn without replacement with weight 1 / (mean + epsilon), the hardest most likely.
// Efraimidis and Spirakis (2006): the `wanted` largest keys u^(1/w), u uniform; computed as the least -log(u) / w.
struct weighted {
  double epsilon = 0;  // 0: 1 / (2 G), G answers in the group

  double weight(const scored_example& s) const {
    const double e = epsilon > 0 ? epsilon : 0.5 / static_cast<double>(s.count);
    return 1.0 / (s.mean + e);
  }
  bool needs_scores() const { return true; }
  // Throws argument_error for a mean at or below -epsilon, which has no weight.
  template <int = 0>
  std::vector<example_id> retain(std::span<const scored_example> scored, const retention_request& q) const {
    const auto key = shuffle_key(q.seed, stream::retention, q.draw, 0);
    std::vector<std::pair<double, example_id>> keys;
    keys.reserve(scored.size());
    for (const auto& s : scored) {
      const double w = weight(s);
      detail::expects(w > 0 && math::isfinite(w), "weighted.retain", "mean of example " + std::to_string(s.example),
                      "above -epsilon", s.mean);
      keys.emplace_back(-math::log(uniform(key, s.example)) / w, s.example);
    }
    return detail::least(keys, q.wanted);
  }
  template <class Book>
  constexpr void validate(Book& b) const {
    b.require(epsilon >= 0, "weighted.epsilon", epsilon, "at least 0", "0 for 1 / (2 G)");
  }
  friend bool operator==(const weighted&, const weighted&) = default;
};

// A control: examples drawn blindly, each equally likely.
struct random_draw {
  bool match_zero_accuracy = false;  // as many as zero_accuracy would retain, which scores them all the same

  bool needs_scores() const { return match_zero_accuracy; }
  template <int = 0>
  std::vector<example_id> retain(std::span<const scored_example> scored, const retention_request& q) const {
    const auto key = shuffle_key(q.seed, stream::retention, q.draw, 0);
    std::vector<std::pair<double, example_id>> keys;
    keys.reserve(scored.size());
    for (const auto& s : scored) keys.emplace_back(uniform(key, s.example), s.example);
    const auto wanted =
        match_zero_accuracy ? static_cast<std::int64_t>(zero_accuracy{}.retain(scored, q).size()) : q.wanted;
    return detail::least(keys, wanted);
  }
  friend bool operator==(const random_draw&, const random_draw&) = default;
};

// A control: nothing goes along.
struct none {
  bool needs_scores() const { return false; }
  template <int = 0>
  std::vector<example_id> retain(std::span<const scored_example>, const retention_request&) const {
    return {};
  }
  friend bool operator==(const none&, const none&) = default;
};

// Where the means come from.
enum class score_source : std::uint8_t {
  history,  // each example's last training visit; examples never visited are scored as by `current`
  initial,  // scored by the policy as it was before the first step
  current   // scored by the policy as it is at the transition
};

// How examples of earlier phases are scored: `group` answers each, under the next phase's limits.
struct scoring {
  score_source source = score_source::current;
  std::int64_t group = 8;
  std::int64_t at_most = 0;  // score a seeded subsample of so many, the others stay behind; 0: all

  template <class Book>
  constexpr void validate(Book& b) const {
    b.require(group >= 1, "scoring.group", static_cast<double>(group), "at least 1", "8 as in training");
    b.require(at_most >= 0, "scoring.at_most", static_cast<double>(at_most), "at least 0", "0 scores all");
  }
  friend bool operator==(const scoring&, const scoring&) = default;
};

// What scoring will cost at most, in tokens.
struct scoring_cost {
  std::int64_t examples = 0, answers = 0;
  std::int64_t prompt_tokens = 0;    // each prompt is read once for its whole group
  std::int64_t response_tokens = 0;  // an upper bound: every answer as long as allowed
  std::int64_t total() const { return prompt_tokens + response_tokens; }
  friend bool operator==(const scoring_cost&, const scoring_cost&) = default;
};

template <int = 0>
scoring_cost cost_of_scoring(std::span<const example_id> examples, const pool& data, std::int64_t group,
                             std::int64_t max_response_tokens) {
  scoring_cost c;
  c.examples = static_cast<std::int64_t>(examples.size());
  c.answers = c.examples * group;
  for (const auto e : examples) c.prompt_tokens += data.prompt_tokens[e];
  c.response_tokens = c.answers * max_response_tokens;
  return c;
}

// `wanted` of `from`, drawn without replacement, ascending; all of them where wanted is 0 or too large.
template <int = 0>
std::vector<example_id> subsample(std::span<const example_id> from, std::int64_t wanted, std::uint64_t seed,
                                  std::uint32_t draw) {
  if (wanted == 0) wanted = static_cast<std::int64_t>(from.size());
  const auto key = shuffle_key(seed, stream::subsample, draw, 0);
  std::vector<std::pair<double, example_id>> keys;
  keys.reserve(from.size());
  for (const auto e : from) keys.emplace_back(uniform(key, e), e);
  return detail::least(keys, wanted);
}

}  // namespace ql::curriculum
