// SPDX-License-Identifier: Apache-2.0
#pragma once

// For each concept of rewards the smallest type that models it, and types that miss it by one thing.

#include <ql/rl/extract.hpp>
#include <ql/rl/judge.hpp>
#include <ql/rl/reward.hpp>

#include <optional>
#include <span>
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
  void operator()(std::span<const rl::judge_query>, std::span<rl::outcome>) {}
};
struct judge_of_one_answer {  // could not be asked about a batch at once
  rl::outcome operator()(const rl::judge_query&) { return rl::scored{}; }
};
static_assert(rl::answer_judge<judge> && !rl::answer_judge<judge_of_one_answer>);

struct presenter {
  std::optional<rl::presented> operator()(const rl::graded_item&) const { return {}; }
};
static_assert(rl::answer_presenter<presenter> && !rl::answer_presenter<extractor>);
static_assert(rl::reward<rl::judged<judge, presenter>> && rl::batch_reward<rl::hybrid<reward, judge, presenter>>);

}  // namespace ql::testing::archetypes
