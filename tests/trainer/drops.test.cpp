// SPDX-License-Identifier: Apache-2.0
// Groups whose judge was away are dropped once and for ever: a run that goes on drops them again.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/io/verdict_journal.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/trainer.hpp>

#include <gtest/gtest.h>
#include <trainer/support/lookup_task.hpp>

#include <optional>
#include <vector>

namespace {

using namespace ql;
using policy_type = model::decoder<float, cpu::context>;

// Every third question has no verdict while the judge is away.
struct judged_task : test::lookup_task {
  bool away = true;
  std::vector<rl::outcome> score(std::span<const answer_request> batch) {
    auto out = lookup_task::score(batch);
    for (std::size_t i = 0; i < out.size(); ++i)
      if (away && batch[i].example % 3 == 0) out[i].emplace<rl::abstained>("judge: connection refused");
    return out;
  }
};

auto make_recipe() {
  curriculum::phased<curriculum::zero_accuracy> course;
  curriculum::phase one;
  one.name = "one", one.hi_inclusive = 28, one.max_response_tokens = 4, one.steps = 4, one.batch = 6;
  course.phases = {one};
  return recipe(slot::engine = session_engine{}, slot::sampler = rl::stochastic{}, slot::curriculum = course,
                slot::filter = rl::all_groups{}, slot::shaping = overlong_fraction{},
                slot::advantage = rl::dr_grpo_advantage{}, slot::loss = rl::clip_higher,
                slot::aggregation = rl::token_mean{}, slot::optimizer = rl::adamw{},
                slot::schedule = rl::constant_schedule{.rate = 1e-2});
}

struct result {
  advance_report report;
  std::vector<float> weights;
};
// One step from the same weights.
result one_step(bool away, on_abstention what, io::verdict_journal* journal) {
  cpu::context ctx;
  judged_task task;
  task.documents = 16, task.away = away;
  policy_type policy(ctx, test::small_shape());
  policy.initialise(ctx, 5, 0.15);
  rl_options o;
  o.seed = 9, o.group_size = 4, o.groups = 4, o.abstained = what, o.stop = {test::lookup_task::end};
  rl_trainer trainer(ctx, policy, task, make_recipe(), o);
  if (journal != nullptr) trainer.keep_drops(*journal);
  result r{trainer.advance(), {}};
  for (const auto& p : policy.parameters())
    r.weights.insert(r.weights.end(), p.master.data(), p.master.data() + p.size());
  return r;
}

TEST(Drops, AreKeptAndAppliedAgain) {
  io::verdict_journal journal;
  const auto away = one_step(true, on_abstention::drop, &journal);
  ASSERT_EQ(away.report.kind, advance_kind::trained);
  ASSERT_GT(away.report.metrics.dropped, 0);
  EXPECT_EQ(journal.drops(), static_cast<std::size_t>(away.report.metrics.dropped));

  // killed before its checkpoint, the step is taken again; the judge is back
  const auto again = one_step(false, on_abstention::drop, &journal);
  EXPECT_EQ(again.report.metrics.dropped, away.report.metrics.dropped);
  EXPECT_EQ(again.weights, away.weights);
  EXPECT_EQ(journal.drops(), static_cast<std::size_t>(away.report.metrics.dropped));

  // without the journal the same step is another one
  const auto forgotten = one_step(false, on_abstention::drop, nullptr);
  EXPECT_EQ(forgotten.report.metrics.dropped, 0);
  EXPECT_NE(forgotten.weights, away.weights);
}
TEST(Drops, NoneWhereTheRunWaits) {
  io::verdict_journal journal;
  const auto r = one_step(true, on_abstention::wait, &journal);
  EXPECT_EQ(r.report.kind, advance_kind::waiting);
  EXPECT_EQ(r.report.why, "judge: connection refused");
  EXPECT_EQ(journal.drops(), 0u);
}
}  // namespace
