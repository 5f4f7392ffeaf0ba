// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>
#include <ql/io/verdict_journal.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/trainer.hpp>

#include <gtest/gtest.h>
#include <trainer/support/lookup_task.hpp>

namespace {

using namespace ql;
using policy_type = model::decoder<float, cpu::context>;

auto two_phases(std::int64_t batch, std::int64_t steps) {
  curriculum::phased<curriculum::zero_accuracy> course;
  curriculum::phase one;
  one.name = "short", one.hi_inclusive = 18, one.max_response_tokens = 4, one.steps = steps, one.batch = batch;
  course.phases = {one};
  course.score.group = 4;
  return course;
}

auto recipe_with(curriculum::phased<curriculum::zero_accuracy> course) {
  return recipe(slot::engine = session_engine{}, slot::sampler = rl::stochastic{}, slot::curriculum = std::move(course),
                slot::filter = rl::mixed_accuracy{}, slot::shaping = overlong_fraction{},
                slot::advantage = rl::grpo_advantage{}, slot::loss = rl::clip_higher,
                slot::aggregation = rl::token_mean{}, slot::optimizer = rl::adamw{.beta2 = 0.95},
                slot::schedule = rl::constant_schedule{.rate = 3e-3});
}

rl_options options_for(std::int64_t groups) {
  rl_options o;
  o.seed = 9, o.group_size = 8, o.groups = groups, o.stop = {test::lookup_task::end};
  return o;
}

std::vector<float> weights_of(policy_type& p) {
  std::vector<float> w;
  for (const auto& q : p.parameters()) w.insert(w.end(), q.master.data(), q.master.data() + q.size());
  return w;
}

struct small_run {
  cpu::context ctx;
  test::lookup_task task{.documents = 16, .questions = 2, .asked = {}};
  policy_type policy{ctx, test::small_shape()};
  using recipe_type = decltype(recipe_with(two_phases(8, 1)));
  rl_trainer<policy_type, test::lookup_task, recipe_type> trainer;

  explicit small_run(std::int64_t steps = 6, rl_options o = options_for(4), int threads = 1)
      : ctx({.threads = threads}), trainer(ctx, start(policy, ctx), task, recipe_with(two_phases(8, steps)), o) {}
  static policy_type& start(policy_type& p, cpu::context& ctx) {
    p.initialise(ctx, 5, 0.15);
    return p;
  }
};

TEST(Trainer, StepsThroughTheLoop) {
  small_run run;
  std::int64_t trained = 0, compared = 0;
  for (auto r = run.trainer.advance(); r.kind != advance_kind::finished; r = run.trainer.advance()) {
    if (r.kind != advance_kind::trained) continue;
    ++trained;
    const auto& m = r.metrics;
    EXPECT_EQ(m.step, trained);
    EXPECT_EQ(m.groups, m.all_wrong + m.mixed + m.all_right);
    EXPECT_LE(m.trained, 4);
    EXPECT_EQ(m.kept, m.mixed);
    EXPECT_GT(m.tokens_sampled, 0);
    compared += m.compared;
    EXPECT_EQ(m.differing, 0);
    for (const auto& g : run.trainer.trained()) {
      const auto scores = g.scores();
      EXPECT_NE(*std::min_element(scores.begin(), scores.end()), *std::max_element(scores.begin(), scores.end()));
    }
  }
  EXPECT_EQ(trained, 6);
  EXPECT_GT(compared, 0);
}

TEST(Trainer, OptionsOfMemoryAndThreadsChangeNoBit) {
  const auto weights = [](rl_options o, int threads) {
    small_run run(3, o, threads);
    while (run.trainer.advance().kind != advance_kind::finished) {
    }
    return weights_of(run.policy);
  };
  auto o = options_for(4);
  const auto expected = weights(o, 1);
  EXPECT_EQ(expected, weights(o, 2));
  o.session_tokens = 200, o.micro_batch_tokens = 50;
  EXPECT_EQ(expected, weights(o, 1));
  o.audit = audit::whole_batch;
  EXPECT_EQ(expected, weights(o, 1));
}

// A group whose judge was away is dropped once and for ever: a step that is taken again drops it again.
TEST(Drops, AreKeptAndAppliedAgain) {
  struct result {
    advance_report report;
    std::int64_t dropped = 0, judged = 0;
    std::vector<float> weights;
  };
  const auto one_step = [](bool away, on_abstention what, io::verdict_journal* journal) {
    auto o = options_for(4);
    o.abstained = what;
    small_run run(6, o);
    run.task.judge_away = away;
    if (journal != nullptr) run.trainer.keep_drops(*journal);
    result r;
    do {
      r.report = run.trainer.advance();
      r.dropped += r.report.metrics.dropped, r.judged += r.report.metrics.groups;
    } while (r.report.kind == advance_kind::skipped || r.report.kind == advance_kind::scored);
    r.weights = weights_of(run.policy);
    return r;
  };
  io::verdict_journal journal, idle;
  const auto away = one_step(true, on_abstention::drop, &journal);
  ASSERT_EQ(away.report.kind, advance_kind::trained);
  ASSERT_GT(away.dropped, 0);
  const auto drops = static_cast<std::size_t>(away.dropped);
  EXPECT_EQ(journal.drops(), drops);
  // killed before its checkpoint, the step is taken again; the judge is back
  const auto again = one_step(false, on_abstention::drop, &journal);
  EXPECT_EQ(again.dropped, away.dropped);
  EXPECT_EQ(again.judged, away.judged);
  EXPECT_EQ(again.weights, away.weights);
  EXPECT_EQ(journal.drops(), drops);
  // without the journal the same step is another one
  const auto forgotten = one_step(false, on_abstention::drop, nullptr);
  EXPECT_EQ(forgotten.dropped, 0);
  EXPECT_EQ(forgotten.judged, away.judged + away.dropped);
  // where the run waits nothing is dropped
  const auto waits = one_step(true, on_abstention::wait, &idle);
  EXPECT_EQ(waits.report.kind, advance_kind::waiting);
  EXPECT_EQ(waits.report.why, "judge: connection refused");
  EXPECT_EQ(idle.drops(), 0u);
}

}  // namespace
