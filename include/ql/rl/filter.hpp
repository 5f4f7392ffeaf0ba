// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which groups are trained on: dynamic sampling on the task score, before any shaping by length.

#include <ql/error.hpp>
#include <ql/rl/rules.hpp>
#include <ql/tensor/view.hpp>

#include <cstdint>

namespace ql::rl {

// Keeps a group iff its task scores are finite and not all equal (DAPO, arXiv 2503.14476 eq. 11). A NaN score is an
// abstained member: its group is never trained on in part.
//   scores 1, 0, 1 | 1, 1, 1: keep, drop
struct mixed_groups {
  template <class T>
  constexpr bool keeps(view<const T, 1> task_score, std::int64_t first, std::int64_t last) const {
    bool mixed = false;
    for (std::int64_t i = first; i < last; ++i) {
      if (task_score[i] - task_score[i] != T(0)) return false;
      mixed = mixed || task_score[i] != task_score[first];
    }
    return mixed;
  }
};

// The released filter: the score counts as correct iff it is exactly 1, and a group is kept iff it holds both kinds.
struct mixed_accuracy {
  template <class T>
  constexpr bool keeps(view<const T, 1> task_score, std::int64_t first, std::int64_t last) const {
    std::int64_t correct = 0;
    for (std::int64_t i = first; i < last; ++i) {
      if (task_score[i] - task_score[i] != T(0)) return false;
      correct += task_score[i] == T(1) ? 1 : 0;
    }
    return correct > 0 && correct < last - first;
  }
};

// Keeps every group whose scores are all known.
struct all_groups {
  template <class T>
  constexpr bool keeps(view<const T, 1> task_score, std::int64_t first, std::int64_t last) const {
    for (std::int64_t i = first; i < last; ++i)
      if (task_score[i] - task_score[i] != T(0)) return false;
    return true;
  }
};

// Keeps a group iff one of its advantages lies outside [low, high] (prime-rl's admission gate): of groups that would
// hardly move the policy nothing is kept. To be used on advantages, after the others.
struct effective_groups {
  double low = 0, high = 0;
  constexpr void validate(rule_book& b) const {
    b.require(low <= high, "effective_groups.low", low, "at most high", "use 0 and 0");
  }
  template <class T>
  constexpr bool keeps(view<const T, 1> advantage, std::int64_t first, std::int64_t last) const {
    bool outside = false;
    for (std::int64_t i = first; i < last; ++i) {
      const double a = static_cast<double>(advantage[i]);
      if (a - a != 0) return false;
      outside = outside || a < low || a > high;
    }
    return outside;
  }
};

// `f.keeps(task_score, first, last)` for the group [first, last).
template <class F>
concept group_filter = std::copyable<F> && requires(const F& f, view<const double, 1> s, std::int64_t i) {
  { f.keeps(s, i, i) } -> std::same_as<bool>;
};

// keep[g] = 1 for the groups that the filter keeps; returns how many.
template <group_filter F, class T>
std::int64_t filter_groups(const F& filter, view<const T, 1> task_score, view<const std::int64_t, 1> groups,
                           view<std::uint8_t, 1> keep) {
  constexpr const char* me = "filter_groups";
  expects_valid(filter);
  detail::expects<shape_error>(groups.size() >= 1 && groups[groups.size() - 1] == task_score.size(), me, "groups",
                               task_score.size(), groups.empty() ? 0 : groups[groups.size() - 1]);
  detail::expects<shape_error>(keep.size() == groups.size() - 1, me, "keep", groups.size() - 1, keep.size());
  std::int64_t kept = 0;
  for (std::int64_t g = 0; g + 1 < groups.size(); ++g) {
    detail::expects<shape_error>(groups[g] <= groups[g + 1], me, "groups", "ascending offsets", groups[g + 1]);
    keep[g] = static_cast<std::uint8_t>(filter.keeps(task_score, groups[g], groups[g + 1]));
    kept += keep[g];
  }
  return kept;
}

// Draw until `target` groups are kept, at most `rounds` times (0: no limit). Surplus groups of the last round are cut
// in order, as released. The state belongs into the checkpoint.
struct refill {
  std::int64_t target, rounds = 10;
  struct state {
    std::int64_t kept = 0, round = 0, seen = 0;
    friend constexpr bool operator==(const state&, const state&) = default;
  };
  enum class next {
    draw,    // not enough yet
    train,   // target reached: train on the first `target` kept groups
    give_up  // rounds are used up: train on what there is (kept may be 0)
  };
  constexpr void validate(rule_book& b) const {
    b.require(target > 0, "refill.target", static_cast<double>(target), "above 0", "groups in a training batch");
    b.require(rounds >= 0, "refill.rounds", static_cast<double>(rounds), "at least 0", "use 10, or 0 for no limit");
  }
  // After a round that drew `drawn` groups and kept `kept` of them.
  constexpr next observe(state& s, std::int64_t drawn, std::int64_t kept) const {
    s.kept += kept;
    s.seen += drawn;
    ++s.round;
    if (s.kept >= target) return next::train;
    return rounds > 0 && s.round >= rounds ? next::give_up : next::draw;
  }
};

}  // namespace ql::rl
