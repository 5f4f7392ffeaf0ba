// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl_run.hpp>

#include <trainer/support/lookup_task.hpp>

void train_on_nothing();
void interrupt_a_wait();

// A new policy never answers right: no group is mixed.
void train_on_nothing() {
  using namespace ql;
  cpu::context ctx;
  test::lookup_task task{.documents = 4, .questions = 2, .asked = {}};
  model::decoder<float, cpu::context> policy(ctx, test::small_shape());
  policy.initialise(ctx, 5, 0.02);
  curriculum::phase one;
  one.name = "short", one.hi_inclusive = 18, one.max_response_tokens = 1, one.steps = 4, one.batch = 2;
  curriculum::phased<curriculum::none> course;
  course.phases = {one};
  rl_options o;
  o.group_size = 2, o.skips = 2, o.refill_rounds = 1;
  rl_trainer run(
      ctx, policy, task,
      recipe(slot::engine = session_engine{}, slot::sampler = rl::stochastic{}, slot::curriculum = course,
             slot::filter = rl::mixed_accuracy{}, slot::shaping = no_shaping{}, slot::advantage = rl::grpo_advantage{},
             slot::loss = rl::clip_higher, slot::aggregation = rl::token_mean{}, slot::optimizer = rl::sgd{},
             slot::schedule = rl::constant_schedule{.rate = 1e-3}),
      o);
  for (int i = 0; i < 4; ++i) run.advance();
}

void interrupt_a_wait() {
  ql::detail::wait(1, [] { return true; });
}
