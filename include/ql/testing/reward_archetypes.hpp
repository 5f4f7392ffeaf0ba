// SPDX-License-Identifier: Apache-2.0
#pragma once

// For each concept of rewards the smallest type that models it, and types that miss it by one thing.

#include <ql/rl/extract.hpp>
#include <ql/rl/judge_gate.hpp>
#include <ql/rl/reward.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace ql::testing::archetypes {

struct reward {
  rl::outcome operator()(const rl::graded_item&) { return rl::scored{}; }
};
struct reward_as_a_number {  // could not abstain
  double operator()(const rl::graded_item&) { return 0; }
};
static_assert(rl::reward<reward> && !rl::reward<reward_as_a_number>);

struct extractor {
  std::optional<std::string> operator()(std::string_view) const { return {}; }
};
struct extractor_without_no {
  std::string operator()(std::string_view) const { return {}; }
};
static_assert(rl::answer_extractor<extractor> && !rl::answer_extractor<extractor_without_no>);

struct judge {
  rl::outcome operator()(const rl::graded_item&, std::string_view) { return rl::scored{}; }
};
struct judge_as_a_yes_or_no {
  bool operator()(const rl::graded_item&, std::string_view) { return true; }
};
static_assert(rl::answer_judge<judge> && !rl::answer_judge<judge_as_a_yes_or_no>);

}  // namespace ql::testing::archetypes
