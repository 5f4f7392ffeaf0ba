// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rewards: from a question and a response to a number, or to the reason why there is none. A failure is never turned
// into a zero.

#include <ql/rl/rules.hpp>

#include <concepts>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace ql::rl {

struct scored {
  double value = 0;
  friend bool operator==(const scored&, const scored&) = default;
};
// `why` names the failure for the log: "judge: timeout".
struct abstained {
  std::string why;
  friend bool operator==(const abstained&, const abstained&) = default;
};
using outcome = std::variant<scored, abstained>;

inline bool is_scored(const outcome& o) { return std::holds_alternative<scored>(o); }
// The value, or `otherwise`.
inline double value_or(const outcome& o, double otherwise) {
  const auto* s = std::get_if<scored>(&o);
  return s != nullptr ? s->value : otherwise;
}

enum class answer_kind { text, numeric, choice };

// What is judged. `response` is the model's whole output; the gold answers are alternatives of one answer.
struct graded_item {
  std::string_view question, response;
  std::span<const std::string_view> gold;
  answer_kind kind = answer_kind::text;
};

// `r(item) -> outcome`. Calls must not depend on one another.
template <class R>
concept reward = std::move_constructible<R> && requires(R& r, const graded_item& item) {
  { r(item) } -> std::same_as<outcome>;
};

// The greater of two rewards in [0, 1]: rule and judge. The second is asked only if the first is below 1. A second that
// abstains makes the whole abstain, unless the first alone decides: a judge that is away turns no answer into a wrong
// one.
template <reward First, reward Second>
struct max_of {
  First first;
  Second second;
  outcome operator()(const graded_item& item) {
    outcome a = first(item);
    if (value_or(a, 0.0) >= 1.0) return a;
    outcome b = second(item);
    if (!is_scored(a) || !is_scored(b)) {
      if (value_or(b, 0.0) >= 1.0) return b;
      return is_scored(a) ? b : a;
    }
    return value_or(a, 0.0) >= value_or(b, 0.0) ? a : b;
  }
};
template <class First, class Second>
max_of(First, Second) -> max_of<First, Second>;

// first_weight a + second_weight b; abstains if one of them does.
template <reward First, reward Second>
struct weighted {
  First first;
  double first_weight;
  Second second;
  double second_weight;
  outcome operator()(const graded_item& item) {
    outcome a = first(item);
    if (!is_scored(a)) return a;
    outcome b = second(item);
    if (!is_scored(b)) return b;
    return scored{__builtin_fma(first_weight, value_or(a, 0.0), second_weight * value_or(b, 0.0))};
  }
};
template <class First, class Second>
weighted(First, double, Second, double) -> weighted<First, Second>;

// The first that does not abstain; the last one's reason if all do.
template <reward First, reward Second>
struct first_of {
  First first;
  Second second;
  outcome operator()(const graded_item& item) {
    outcome a = first(item);
    return is_scored(a) ? a : second(item);
  }
};
template <class First, class Second>
first_of(First, Second) -> first_of<First, Second>;

// A group is usable iff all its members are scored.
inline bool all_scored(std::span<const outcome> group) {
  for (const auto& o : group)
    if (!is_scored(o)) return false;
  return true;
}

}  // namespace ql::rl
