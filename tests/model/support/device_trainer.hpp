// SPDX-License-Identifier: Apache-2.0
#pragma once

// One recipe and one task, run on either context: model/cuda/trainer_*.test.cpp.

#include <ql/rl/policy_loss.hpp>
#include <ql/trainer.hpp>

#include <trainer/support/lookup_task.hpp>
#include <vector>

namespace ql::test {

inline auto recipe_of_two_phases() {
  curriculum::phased<curriculum::zero_accuracy> course;
  curriculum::phase one, two;
  one.name = "short", one.hi_inclusive = 18, one.max_response_tokens = 3, one.steps = 1, one.batch = 4;
  two.name = "long", two.lo_exclusive = 18, two.hi_inclusive = 40, two.max_response_tokens = 3;
  two.steps = 1, two.batch = 4;
  course.phases = {one, two};
  course.score.group = 2;
  return recipe(slot::engine = session_engine{}, slot::sampler = rl::stochastic{}, slot::curriculum = std::move(course),
                slot::filter = rl::mixed_accuracy{}, slot::shaping = overlong_fraction{},
                slot::advantage = rl::grpo_advantage{}, slot::loss = rl::clip_higher,
                slot::aggregation = rl::token_mean{}, slot::optimizer = rl::adamw{.beta2 = 0.95},
                slot::schedule = rl::constant_schedule{.rate = 3e-3});
}

struct trained_run {
  std::vector<step_metrics> steps;
  std::vector<std::vector<token>> answers;  // that were trained on
  std::vector<float> weights;
  std::int64_t scored = 0;
};

template <class Context>
trained_run train_on(Context& ctx) {
  lookup_task task{.documents = 8, .questions = 2, .long_from = 4, .asked = {}};
  model::decoder<float, Context> policy(ctx, small_shape());
  policy.initialise(ctx, 5, 0.15);
  rl_options o;
  o.seed = 9, o.group_size = 4, o.groups = 2, o.updates_per_batch = 2, o.stop = {lookup_task::end};
  rl_trainer trainer(ctx, policy, task, recipe_of_two_phases(), o);
  trained_run out;
  for (auto r = trainer.advance(); r.kind != advance_kind::finished; r = trainer.advance()) {
    if (r.kind == advance_kind::scored) out.scored = r.scored;
    if (r.kind != advance_kind::trained) continue;
    out.steps.push_back(r.metrics);
    for (const auto& g : trainer.trained())
      for (const auto& a : g.answers) out.answers.push_back(a.tokens);
  }
  for (auto& p : policy.parameters()) {
    std::vector<float> w(static_cast<std::size_t>(p.size()));
    ctx.synchronize();
    copy_out(ctx, static_cast<const float*>(p.master.data()), p.size(), w.data());
    out.weights.insert(out.weights.end(), w.begin(), w.end());
  }
  return out;
}

trained_run train_on_cpu();

}  // namespace ql::test
