// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>
#include <ql/io/verdict_journal.hpp>
#include <ql/replay.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/trainer.hpp>

#include <gtest/gtest.h>
#include <trainer/support/lookup_task.hpp>

namespace {

using namespace ql;
using policy_type = model::decoder<float, cpu::context>;

// Masks answers with a negative advantage in all steps but the first, and keeps what it was told.
struct masking_control {
  bool on = false;
  struct state {
    std::vector<double> seen;
    bool masked = false;
    friend bool operator==(const state&, const state&) = default;
  };
  state observe(state s, double batch_entropy) const {
    s.masked = on && !s.seen.empty();
    s.seen.push_back(batch_entropy);
    return s;
  }
  template <class Loss>
  auto apply(const Loss& loss, const state& s, double) const {
    return rl::negatives_masked<Loss>{loss, s.masked};
  }
  bool learns_from(const state& s, double advantage) const { return !s.masked || advantage > 0; }
};

auto two_phases(std::int64_t batch, std::int64_t steps) {
  curriculum::phased<curriculum::zero_accuracy> course;
  curriculum::phase one;
  one.name = "short", one.hi_inclusive = 18, one.max_response_tokens = 4, one.steps = steps, one.batch = batch;
  course.phases = {one};
  course.score.group = 4;
  return course;
}

auto recipe_with(curriculum::phased<curriculum::zero_accuracy> course, const rollout_book<float>* book = nullptr,
                 bool masks = false) {
  return recipe(slot::engine = replay_engine<float>{.book = book}, slot::control = masking_control{masks},
                slot::sampler = rl::stochastic{}, slot::curriculum = std::move(course),
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

  explicit small_run(std::int64_t steps = 6, rl_options o = options_for(4), int threads = 1,
                     const rollout_book<float>* book = nullptr, bool masks = false)
      : ctx({.threads = threads}),
        trainer(ctx, start(policy, ctx), task, recipe_with(two_phases(8, steps), book, masks), o) {}
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

// Answers that are drawn apart are those of the next step; kept and handed out again, they give its bits; and no
// other's.
TEST(Replay, GivesTheSameBits) {
  auto o = options_for(4);
  o.updates_per_batch = 2, o.audit = audit::whole_batch;
  small_run sampled(2, o);
  rollout_book<float> book;
  std::vector<step_metrics> said;
  while (sampled.trainer.state().step == 0) {
    ASSERT_LT(said.size(), 20u);
    const auto before = sampled.trainer.state();
    const auto weights = weights_of(sampled.policy);
    ASSERT_EQ(sampled.trainer.draw().kind, advance_kind::trained);
    const auto groups = sampled.trainer.drawn(), batch = sampled.trainer.trained();
    EXPECT_EQ(sampled.trainer.state(), before);
    EXPECT_EQ(weights_of(sampled.policy), weights);
    said.push_back(sampled.trainer.advance().metrics);
    EXPECT_EQ(sampled.trainer.drawn(), groups);
    EXPECT_EQ(sampled.trainer.trained(), batch);
    for (const auto& g : groups) book.add(g);
  }
  ASSERT_GT(said.back().trained, 0);
  EXPECT_THROW(book.add(sampled.trainer.drawn()[0]), argument_error);

  small_run replayed(2, o, 2, &book);
  for (const auto& m : said) {
    const auto again = replayed.trainer.advance().metrics;
    EXPECT_EQ(again.tokens_sampled, m.tokens_sampled);
    EXPECT_EQ(again.compared, m.compared);
    EXPECT_EQ(again.differing, 0);
  }
  EXPECT_GT(said.back().compared, 0);
  EXPECT_EQ(weights_of(replayed.policy), weights_of(sampled.policy));
  EXPECT_EQ(replayed.trainer.state(), sampled.trainer.state());

  // the book holds no later step
  try {
    for (int i = 0; i < 20; ++i) replayed.trainer.advance();
    ADD_FAILURE() << "the next step is not in the book";
  } catch (const state_error& e) {
    EXPECT_NE(std::string(e.what()).find("of another step"), std::string::npos) << e.what();
  }
  // another policy has not sampled these answers, and the audit says so
  small_run other(2, o, 1, &book);
  other.policy.initialise(other.ctx, 6, 0.15);
  std::int64_t differing = 0;
  while (other.trainer.state().step == 0) differing += other.trainer.advance().metrics.differing;
  EXPECT_GT(differing, 0);
}

TEST(Control, SeesTheEntropyAndMasksTheLoss) {
  const auto two_steps = [](bool masks) {
    small_run run(2, options_for(4), 1, nullptr, masks);
    std::vector<std::vector<float>> weights;
    std::vector<double> seen;
    for (auto r = run.trainer.advance(); r.kind != advance_kind::finished; r = run.trainer.advance()) {
      if (r.kind != advance_kind::trained) continue;
      double total = 0;
      std::int64_t n = 0;
      for (const auto& g : run.trainer.trained())
        for (const auto& a : g.answers) {
          double sum = 0;
          for (const auto h : a.entropy) sum += static_cast<double>(h);
          total += sum / static_cast<double>(a.length()), ++n;
        }
      seen.push_back(total / static_cast<double>(n));
      EXPECT_DOUBLE_EQ(r.metrics.batch_entropy, seen.back());
      EXPECT_EQ(run.trainer.state().control.seen.size(), seen.size());
      EXPECT_DOUBLE_EQ(run.trainer.state().control.seen.back(), seen.back());
      weights.push_back(weights_of(run.policy));
    }
    return weights;
  };
  const auto plain = two_steps(false), masked = two_steps(true);
  ASSERT_EQ(plain.size(), 2u);
  EXPECT_EQ(plain[0], masked[0]);
  EXPECT_NE(plain[1], masked[1]);
}

}  // namespace
