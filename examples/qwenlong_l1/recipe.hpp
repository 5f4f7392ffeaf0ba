// SPDX-License-Identifier: Apache-2.0
#pragma once

// The QwenLong-L1 recipe (arXiv 2505.17667): every slot, and what a configuration may put into it.

#include <ql/curriculum/curriculum.hpp>
#include <ql/replay.hpp>
#include <ql/rl/advantage.hpp>
#include <ql/rl/aggregation.hpp>
#include <ql/rl/entropy.hpp>
#include <ql/rl/filter.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/sampler.hpp>
#include <ql/rl/schedule.hpp>
#include <ql/trainer.hpp>

#include "settings.hpp"

namespace ql::qwenlong {

using advantage_choice = choice<rl::grpo_advantage, rl::dr_grpo_advantage, rl::rloo_advantage, rl::task_std_advantage>;
using loss_choice = choice<rl::clip, rl::ratio_loss, rl::cispo, rl::entropy_bonus<rl::clip>>;
using aggregation_choice =
    choice<rl::token_mean, rl::prompt_mean, rl::sequence_mean_token_mean, rl::micro_batch_token_mean>;
using filter_choice = choice<rl::mixed_accuracy, rl::all_groups>;
using shaping_choice = choice<no_shaping, overlong_fraction>;
using schedule_choice = choice<rl::constant_schedule, rl::cosine_schedule>;

// What goes along into the next phase.
struct retention_choice {
  choice<curriculum::zero_accuracy, curriculum::weighted, curriculum::random_draw, curriculum::none> of;
  bool needs_scores() const {
    return visit_choice(of, [](const auto& r) { return r.needs_scores(); });
  }
  std::vector<curriculum::example_id> retain(std::span<const curriculum::scored_example> scored,
                                             const curriculum::retention_request& q) const {
    return visit_choice(of, [&](const auto& r) { return r.retain(scored, q); });
  }
};

inline retention_choice retention_of(const rl_settings& s) {
  switch (s.retention) {
    case retention_kind::zero_accuracy: return {curriculum::zero_accuracy{}};
    case retention_kind::weighted: return {curriculum::weighted{}};
    case retention_kind::random: return {curriculum::random_draw{}};
    case retention_kind::none: break;
  }
  return {curriculum::none{}};
}

// AEPO where the recipe asks for it.
struct control_choice {
  bool on = false;
  rl::aepo rule{};
  using state = rl::aepo::state;
  state observe(state s, double entropy) const { return on ? rule.observe(s, entropy) : s; }
  template <class Loss>
  auto apply(const Loss& loss, state s, double entropy) const {
    return rule.apply(loss, s, entropy);
  }
  bool learns_from(state s, double advantage) const { return rule.learns_from(s, advantage); }
};

inline advantage_choice advantage_of(const rl_settings& s) {
  switch (s.advantage) {
    case advantage_kind::dr_grpo: return rl::dr_grpo_advantage{};
    case advantage_kind::rloo: return rl::rloo_advantage{};
    case advantage_kind::task_std: return rl::task_std_advantage{.eps = s.advantage_eps};
    case advantage_kind::grpo: break;
  }
  return rl::grpo_advantage{.eps = s.advantage_eps};
}

inline loss_choice loss_of(const rl_settings& s) {
  const rl::clip clip{.low = s.clip_low, .high = s.clip_high};
  if (s.loss == loss_kind::ratio) return rl::ratio_loss{};
  if (s.loss == loss_kind::cispo) return rl::cispo{};
  if (s.entropy_coefficient != 0) return rl::entropy_bonus<rl::clip>{clip, s.entropy_coefficient};
  return clip;
}

inline aggregation_choice aggregation_of(const rl_settings& s) {
  switch (s.aggregation) {
    case aggregation_kind::prompt_mean: return rl::prompt_mean{};
    case aggregation_kind::sequence_mean: return rl::sequence_mean_token_mean{};
    case aggregation_kind::micro_batch: return rl::micro_batch_token_mean{};
    case aggregation_kind::token_mean: break;
  }
  return rl::token_mean{};
}

// Sampling: from a book of rollouts where one is given, else from the policy, with the noise of an experiment or none.
using engine_type = replay_engine<float, perturbed_engine<>>;
inline engine_type engine_of(const rl_settings& s, const rollout_book<float>* book = nullptr) {
  return {.book = book, .engine = {.deviation = s.perturbation}};
}

// The recipe as a map from slot to component. A researcher's change is ql::with(recipe, slot = component).
inline auto recipe_of(const rl_settings& s) {
  curriculum::phased<retention_choice> course;
  course.phases = phases_of(s);
  course.retrospect = retention_of(s);
  course.score = {.source = s.scoring, .group = s.group_size, .at_most = s.score_at_most};
  filter_choice filter = rl::mixed_accuracy{};
  if (!s.dynamic_sampling) filter = rl::all_groups{};
  shaping_choice shaping = no_shaping{};
  if (s.overlong > 0) shaping = overlong_fraction{.fraction = s.overlong};
  return recipe(slot::engine = engine_of(s),                                                       //
                slot::sampler = rl::stochastic{{.temperature = s.temperature, .top_p = s.top_p}},  //
                slot::curriculum = std::move(course),                                              //
                slot::filter = filter,                                                             //
                slot::shaping = shaping,                                                           //
                slot::advantage = advantage_of(s),                                                 //
                slot::loss = loss_of(s),                                                           //
                slot::control = control_choice{s.aepo_high > 0, {.low = s.aepo_low, .high = s.aepo_high}},
                slot::aggregation = aggregation_of(s),                                                            //
                slot::optimizer = rl::adamw{.beta1 = s.beta1, .beta2 = s.beta2, .weight_decay = s.weight_decay},  //
                slot::schedule = rl::constant_schedule{.rate = s.learning_rate, .warmup = s.warm_up_steps});
}

inline rl_options options_of(const rl_settings& s, std::uint64_t seed, std::vector<token> stop) {
  rl_options o;
  o.seed = seed, o.stop = std::move(stop);
  o.group_size = s.group_size, o.groups = s.train_groups, o.updates_per_batch = s.updates_per_batch;
  o.refill_rounds = s.refill_rounds, o.surplus = s.surplus, o.abstained = s.abstained, o.audit = s.audit;
  o.phase_change = s.phase_change, o.max_norm = s.max_norm, o.kl_every = s.kl_every, o.skips = s.skips;
  o.micro_batch_tokens = s.micro_batch_tokens, o.session_tokens = s.session_tokens, o.keep = s.keep;
  return o;
}

}  // namespace ql::qwenlong
