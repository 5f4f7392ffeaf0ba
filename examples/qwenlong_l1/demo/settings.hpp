// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/reflect.hpp>

#include <cstdint>
#include <string>

#include "../settings.hpp"
#include "../tiny/warm_up.hpp"

namespace ql::qwenlong {

// What gives a training reward: the rule, a judge, or the larger of the two. Held-out answers are scored by the rule
// and the equivalence judge always.
enum class reward_kind : std::uint8_t { rule, judge, max };
enum class judge_kind : std::uint8_t { equivalence, permissive };

// A control: supervised training goes on in the place of RL.
struct continued_sft {
  std::int64_t tokens = 0;     // at least so many; 0: RL
  std::int32_t longest = 128;  // document
};

struct demo_settings {
  std::uint64_t seed = 1;
  tiny::drill_options drill;
  tiny::warm_up_options warm_up;
  double yarn = 8;               // stretches the rotary embedding for RL; 1: as warm-up left it
  std::int64_t documents = 512;  // of each phase, four questions each
  std::int64_t held_out = 256;   // of each length, four questions each
  std::int64_t samples = 0;      // answers to a held-out question for pass@k; 0: none
  std::string start;             // another run's warm_up folder; empty: drill and warm-up are made here
  reward_kind reward = reward_kind::max;
  judge_kind judge = judge_kind::equivalence;
  std::int64_t shuffle_rewards = 0;  // 1: a control, rewards are dealt to other answers of the batch
  continued_sft continued;
  rl_settings rl;
};

// Documents of at most 256, 512 and 1024 tokens with their question.
inline demo_settings default_demo() {
  demo_settings s;
  auto& r = s.rl;
  const auto phase = [&](const char* name, std::int64_t above, std::int64_t up_to, std::int64_t steps) {
    curriculum::phase p;
    p.name = name, p.lo_exclusive = above, p.hi_inclusive = up_to, p.max_response_tokens = 28;
    p.steps = steps, p.batch = 32;
    p.retention.fraction = 0.06;
    r.phases.push_back(p);
  };
  phase("up to 256 tokens", 128, 256, 60);
  phase("up to 512 tokens", 256, 512, 90);
  phase("up to 1024 tokens", 512, 1024, 90);
  r.train_groups = 128, r.updates_per_batch = 1, r.refill_rounds = 1;
  r.overlong = 0, r.temperature = 1, r.top_p = 1;
  r.aggregation = aggregation_kind::token_mean, r.advantage_eps = 1e-4;
  r.learning_rate = 2e-4, r.beta2 = 0.95, r.weight_decay = 0, r.warm_up_steps = 5;
  r.retention = retention_kind::weighted, r.score_at_most = 256;
  return s;
}

}  // namespace ql::qwenlong

// clang-format off
template <> inline constexpr auto ql::members<ql::tiny::drill_options> = ql::fields(
    ql::field("steps", &ql::tiny::drill_options::steps, "at most"),
    ql::field("tokens", &ql::tiny::drill_options::tokens, "of a step"),
    ql::field("other_tokens", &ql::tiny::drill_options::other_tokens, "weight of what the document does not tell"),
    ql::field("rate", &ql::tiny::drill_options::rate, "learning rate"),
    ql::field("warm_up", &ql::tiny::drill_options::warm_up, "steps"),
    ql::field("enough", &ql::tiny::drill_options::enough, "share of facts recalled that ends the drill"),
    ql::field("weight_decay", &ql::tiny::drill_options::weight_decay));
template <> inline constexpr auto ql::members<ql::tiny::warm_up_options> = ql::fields(
    ql::field("steps", &ql::tiny::warm_up_options::steps),
    ql::field("tokens", &ql::tiny::warm_up_options::tokens, "of a step"),
    ql::field("shortest", &ql::tiny::warm_up_options::shortest, "document, in tokens"),
    ql::field("longest", &ql::tiny::warm_up_options::longest, "document, in tokens"),
    ql::field("questions", &ql::tiny::warm_up_options::questions, "of a document"),
    ql::field("growing", &ql::tiny::warm_up_options::growing, "share of the steps until documents are longest"),
    ql::field("rate", &ql::tiny::warm_up_options::rate, "learning rate"),
    ql::field("falling", &ql::tiny::warm_up_options::falling, "share of the steps while the rate falls"),
    ql::field("last_rate", &ql::tiny::warm_up_options::last_rate, "share of the rate at the end"),
    ql::field("weight_decay", &ql::tiny::warm_up_options::weight_decay),
    ql::field("gate", &ql::tiny::warm_up_options::gate, "greedy accuracy at the longest that ends warm-up"),
    ql::field("more_steps", &ql::tiny::warm_up_options::more_steps, "that may be added to reach it"));
template <> inline constexpr auto ql::names<ql::qwenlong::reward_kind> = ql::enumerators<ql::qwenlong::reward_kind>({
    {"rule", ql::qwenlong::reward_kind::rule}, {"judge", ql::qwenlong::reward_kind::judge},
    {"max", ql::qwenlong::reward_kind::max}});
template <> inline constexpr auto ql::names<ql::qwenlong::judge_kind> = ql::enumerators<ql::qwenlong::judge_kind>({
    {"equivalence", ql::qwenlong::judge_kind::equivalence}, {"permissive", ql::qwenlong::judge_kind::permissive}});
template <> inline constexpr auto ql::members<ql::qwenlong::continued_sft> = ql::fields(
    ql::field("tokens", &ql::qwenlong::continued_sft::tokens, "of supervised training in the place of RL; 0: RL"),
    ql::field("longest", &ql::qwenlong::continued_sft::longest, "document, in tokens"));
template <> inline constexpr auto ql::members<ql::qwenlong::demo_settings> = ql::fields(
    ql::field("seed", &ql::qwenlong::demo_settings::seed, "of everything random"),
    ql::field("drill", &ql::qwenlong::demo_settings::drill, "recalling facts"),
    ql::field("warm_up", &ql::qwenlong::demo_settings::warm_up, "supervised answers"),
    ql::field("yarn", &ql::qwenlong::demo_settings::yarn, "stretch of positions for RL; 1: none"),
    ql::field("documents", &ql::qwenlong::demo_settings::documents, "of each phase"),
    ql::field("held_out", &ql::qwenlong::demo_settings::held_out, "documents of each length for validation"),
    ql::field("samples", &ql::qwenlong::demo_settings::samples, "answers to a held-out question for pass@k; 0: none"),
    ql::field("start", &ql::qwenlong::demo_settings::start, "another run's warm_up folder; empty: warm-up is made here"),
    ql::field("reward", &ql::qwenlong::demo_settings::reward, "of training: rule, judge, or max of both"),
    ql::field("judge", &ql::qwenlong::demo_settings::judge, "accepts other names of gold, or gold named anywhere"),
    ql::field("shuffle_rewards", &ql::qwenlong::demo_settings::shuffle_rewards, "1: a control without a signal"),
    ql::field("continued", &ql::qwenlong::demo_settings::continued, "a control: SFT in the place of RL"),
    ql::field("rl", &ql::qwenlong::demo_settings::rl, "reinforcement learning"));
// clang-format on
