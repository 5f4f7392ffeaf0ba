// SPDX-License-Identifier: Apache-2.0
#pragma once

// A whole recipe and an environment, for tests/negative/recipe_*.cpp to spoil.

#include <ql/backend/cpu/context.hpp>
#include <ql/model/decoder.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/trainer.hpp>

struct documents {
  std::int64_t examples() const { return 1; }
  std::int64_t bundle(std::int64_t i) const { return i; }
  std::vector<ql::token> context(std::int64_t) const { return {1}; }
  std::vector<ql::token> question(std::int64_t) const { return {2}; }
  std::int32_t task(std::int64_t) const { return 0; }
  std::vector<ql::rl::outcome> score(std::span<const ql::answer_request> batch) const {
    return {batch.size(), ql::rl::scored{1.0}};
  }
};

inline auto whole_recipe() {
  using namespace ql;
  return recipe(slot::engine = session_engine{}, slot::sampler = rl::stochastic{},
                slot::curriculum = curriculum::mixed{}, slot::filter = rl::all_groups{}, slot::shaping = no_shaping{},
                slot::advantage = rl::grpo_advantage{}, slot::loss = rl::clip_higher,
                slot::aggregation = rl::token_mean{}, slot::optimizer = rl::adamw{},
                slot::schedule = rl::constant_schedule{.rate = 1e-6});
}

// What a trainer checks before anything else.
template <class Environment, class Recipe>
void train(const Environment&, const Recipe&) {
  using policy = ql::model::decoder<float, ql::cpu::context>;
  (void)sizeof(ql::rl_trainer<policy, Environment, Recipe>);
}
