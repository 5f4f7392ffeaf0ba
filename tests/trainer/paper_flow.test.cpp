// SPDX-License-Identifier: Apache-2.0
// The control flow of QwenLong-L1 at its true sizes (batch 128 x 8, generation batch 384, at most 10 rounds, four
// updates a batch, two phases), with a policy and rewards of paper: every counter is known beforehand.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/trainer.hpp>

#include <gtest/gtest.h>

namespace {

using namespace ql;

// Has no weights; every log-prob is -1. Notes what an update was made of.
struct paper_policy {
  using scalar_type = float;
  using value_type = float;
  using context_type = cpu::context;
  struct parameter_type {
    std::string name;
    bool trainable = false;
    tensor<float, 1, cpu::context> master, gradient, packed;
    std::int64_t size() const { return 0; }
    bool vector() const { return true; }
    matrix<float> as_matrix() const { return {}; }
  };
  struct score_options {
    ql::distribution distribution;
    const frozen_support* support = nullptr;
    model::keep keep = model::keep::everything;
    bool backward = true;
  };
  struct update {
    std::int64_t tokens = 0;  // with a gradient other than 0
    double up = 0, down = 0;  // sums of dlogp below and above 0
    std::int64_t loss_tokens = 0;
  };
  static constexpr ql::exactness exactness = ql::exactness::exact;
  std::vector<parameter_type> none;
  std::vector<update> updates;

  lane_options lanes() const { return {}; }
  std::vector<parameter_type>& parameters() { return none; }
  const std::vector<parameter_type>& parameters() const { return none; }
  void zero_gradients(cpu::context&) { updates.emplace_back(); }
  void finish_gradients(cpu::context&) {}
  void publish(cpu::context&, parameter_type&) {}
  void published() {}
  int score(cpu::context&, const token_tree& tree, const lane_plan& plan, unit_range range, const score_options& o,
            model::scores<float> out) {
    for (std::int32_t u = range.first; u < range.first + range.count; ++u)
      for (auto s : plan.units[static_cast<std::size_t>(u)].segments)
        for (std::int64_t i = tree[s].first; i < tree[s].first + tree[s].count; ++i) {
          if (!tree.has_loss(i)) continue;
          out.logp[static_cast<std::size_t>(i)] = -1;
          if (o.backward) ++updates.back().loss_tokens;
        }
    return 0;
  }
  void backward(cpu::context&, int, model::scores<const float> d) {
    auto& u = updates.back();
    for (float x : d.logp) {
      if (x == 0) continue;
      ++u.tokens;
      (x < 0 ? u.up : u.down) += static_cast<double>(x);
    }
  }
};

// Example e < short_ones has 10,000 prompt tokens, the others 40,000 (as lengths alone: a prompt here is one token).
struct paper_task {
  static constexpr std::int64_t short_ones = 3840, long_ones = 260;
  std::int64_t mixed_every = 30;  // of the short ones: 4 of 8 right; of the others every third is all wrong
  bool second_look = false;       // in scoring, examples 0, 3, 6, ... of the all-wrong ones are right once
  std::int64_t examples() const { return short_ones + long_ones; }
  std::int64_t bundle(std::int64_t e) const { return e; }
  std::vector<token> context(std::int64_t) const { return {}; }
  std::vector<token> question(std::int64_t e) const { return std::vector<token>(e < short_ones ? 10 : 40, 7); }
  std::int32_t task(std::int64_t) const { return 0; }
  bool mixed(std::int64_t e) const { return e >= short_ones ? e % 2 == 0 : e % mixed_every == 0; }
  bool all_wrong(std::int64_t e) const { return !mixed(e) && e % 3 == 0; }
  std::vector<rl::outcome> score(std::span<const answer_request> batch) {
    std::vector<rl::outcome> out;
    for (const auto& a : batch)
      out.push_back(rl::scored{mixed(a.example) ? (a.sample % 2 == 0 ? 1.0 : 0.0) : all_wrong(a.example) ? 0.0 : 1.0});
    return out;
  }
};

// Answers of 100 tokens; sample 7 runs into the limit.
struct paper_engine {
  template <class Policy, class E, class Sampler, class Between>
  std::vector<group<float>> operator()(cpu::context&, Policy&, E&, std::span<const rollout_request> requests,
                                       const rollout_options& o, Sampler&, rollout_report& said, Between&&) const {
    std::vector<group<float>> out;
    for (const auto& r : requests) {
      group<float> g;
      g.example = r.example, g.visit = r.visit;
      for (std::int32_t i = 0; i < o.group_size; ++i) {
        answer<float> a;
        const auto n = static_cast<std::size_t>(i == 7 ? o.max_new_tokens : 10);
        a.tokens.assign(n, 3), a.logp.assign(n, -1.0f), a.entropy.assign(n, 0.5f);
        a.finish = i == 7 ? finish_reason::length : finish_reason::stop;
        said.sampled += static_cast<std::int64_t>(n);
        g.answers.push_back(std::move(a));
      }
      out.push_back(std::move(g));
    }
    return out;
  }
};

auto paper_recipe(std::int64_t steps) {
  curriculum::phased<curriculum::zero_accuracy> course;
  curriculum::phase one, two;
  one.name = "20K", one.lo_exclusive = 0, one.hi_inclusive = 20, one.max_response_tokens = 20;
  two.name = "60K", two.lo_exclusive = 20, two.hi_inclusive = 60, two.max_response_tokens = 20;
  one.steps = two.steps = steps, one.batch = two.batch = 128, one.generation_batch = two.generation_batch = 384;
  course.phases = {one, two};
  return recipe(slot::engine = paper_engine{}, slot::sampler = rl::stochastic{{.temperature = 0.7, .top_p = 0.95}},
                slot::curriculum = course, slot::filter = rl::mixed_accuracy{}, slot::shaping = overlong_fraction{},
                slot::advantage = rl::grpo_advantage{.eps = 1e-6}, slot::loss = rl::clip_higher,
                slot::aggregation = rl::token_mean{}, slot::optimizer = rl::adamw{},
                slot::schedule = rl::constant_schedule{.rate = 2e-6});
}

rl_options paper_options() {
  rl_options o;
  o.updates_per_batch = 4, o.refill_rounds = 10;
  return o;
}

struct PaperFlow : ::testing::Test {
  cpu::context ctx;
  paper_policy policy;
  paper_task task;
  static constexpr std::int64_t answer_tokens = 7 * 10 + 20;  // of a group
};

TEST_F(PaperFlow, RefillsUntilTheBatchIsFullThenMakesFourUpdates) {
  rl_trainer run(ctx, policy, task, paper_recipe(1), paper_options());
  const auto r = run.advance();
  const auto& m = r.metrics;
  ASSERT_EQ(r.kind, advance_kind::trained);
  EXPECT_EQ(m.phase, "20K");
  // 128 of 3840 examples are mixed: the round that brings the last of them ends the filling
  EXPECT_EQ(m.kept, 128);
  EXPECT_EQ(m.trained, 128);
  EXPECT_GE(m.rounds, 8);
  EXPECT_LE(m.rounds, 10);
  EXPECT_EQ(m.groups, m.rounds * 384);
  EXPECT_EQ(m.mixed, 128);
  EXPECT_EQ(m.tokens_sampled, m.groups * answer_tokens);
  EXPECT_EQ(m.truncated, 1.0 / 8);
  EXPECT_EQ(m.longest, 20);
  EXPECT_DOUBLE_EQ(m.length, answer_tokens / 8.0);
  EXPECT_DOUBLE_EQ(m.reward, m.score - 1.0 / 8);  // the penalty of the truncated answer, right or wrong
  EXPECT_EQ(m.updates, 4);
  EXPECT_EQ(m.tokens_trained, 128 * answer_tokens);
  ASSERT_EQ(policy.updates.size(), 4u);
  for (const auto& u : policy.updates) EXPECT_EQ(u.loss_tokens, 32 * answer_tokens);
  EXPECT_EQ(m.compared, 32 * answer_tokens);  // the first update's mini-batch
  EXPECT_EQ(m.differing, 0);
  EXPECT_GT(m.behaviour_gap + 1, 1 - 1e-9);
  // the order of training is the order in which groups were kept
  std::vector<std::int64_t> kept, trained;
  for (const auto& g : run.drawn())
    if (task.mixed(g.example)) kept.push_back(g.example);
  for (const auto& g : run.trained()) trained.push_back(g.example);
  EXPECT_EQ(kept, trained);
  // every advantage by hand: rewards 1 0 1 0 1 0 1 and 0 - 1 for the truncated one: mean 3/8, sum of squares 5 - 9/8
  const double deviation = math::sqrt((5 - 9.0 / 8) / 7) + 1e-6;
  for (const auto& g : run.trained())
    for (std::size_t i = 0; i < 8; ++i) {
      const double reward = i == 7 ? -1.0 : i % 2 == 0 ? 1.0 : 0.0;
      EXPECT_NEAR(static_cast<double>(g.answers[i].advantage), (reward - 3.0 / 8) / deviation, 1e-6);
    }
  // all tokens weigh 1 / 32 groups' tokens
  const double weight = 1.0 / (32 * answer_tokens);
  for (const auto& u : policy.updates) EXPECT_NEAR(u.up, -32 * 4 * 10 * (1 - 3.0 / 8) / deviation * weight, 1e-5);
}

TEST_F(PaperFlow, TrainsOnWhatThereIsAfterTheLastRound) {
  task.mixed_every = 40;  // 96 in 3840
  rl_trainer run(ctx, policy, task, paper_recipe(1), paper_options());
  const auto m = run.advance().metrics;
  EXPECT_EQ(m.rounds, 10);
  EXPECT_EQ(m.groups, 3840);
  EXPECT_EQ(m.kept, 96);
  EXPECT_EQ(m.trained, 96);
  EXPECT_EQ(m.updates, 3);  // mini-batches stay a quarter of 128
  EXPECT_EQ(m.tokens_trained, 96 * answer_tokens);
}

TEST_F(PaperFlow, SurplusIsDiscardedOrCarried) {
  task.mixed_every = 2;  // half of every round
  auto options = paper_options();
  {
    rl_trainer run(ctx, policy, task, paper_recipe(3), options);
    const auto m = run.advance().metrics;
    EXPECT_EQ(m.rounds, 1);
    EXPECT_EQ(m.kept, m.mixed);
    EXPECT_GT(m.kept, 128);
    EXPECT_EQ(m.trained, 128);
    EXPECT_TRUE(run.state().carried.empty());
  }
  options.surplus = surplus::carry;
  rl_trainer run(ctx, policy, task, paper_recipe(3), options);
  const auto first = run.advance().metrics;
  const auto left = first.kept - 128;
  ASSERT_EQ(run.state().carried.size(), static_cast<std::size_t>(left));
  const auto second = run.advance().metrics;
  EXPECT_EQ(second.carried, left);
  EXPECT_EQ(run.trained()[0].age, 1);
  EXPECT_EQ(second.kept, left + second.mixed);
}

TEST_F(PaperFlow, TheSecondPhaseTakesWhatWasNeverRight) {
  rl_trainer run(ctx, policy, task, paper_recipe(2), paper_options());
  EXPECT_FALSE(run.advance().phase_ended);
  EXPECT_TRUE(run.advance().phase_ended);
  // every example of the first band is scored: 3840 in calls of 64
  std::int64_t scored = 0;
  advance_report r;
  for (r = run.advance(); r.kind == advance_kind::scored; r = run.advance()) {
    scored += r.scored;
    EXPECT_EQ(r.to_score, 3840 - scored);
    EXPECT_EQ(r.phase_ended, scored == 3840);
    if (r.phase_ended) break;
  }
  EXPECT_EQ(scored, 3840);
  // never right: e divisible by 3 and not by 30
  const std::int64_t never = 3840 / 3 - 3840 / 30;
  const auto said = run.recipe()[slot::curriculum].report(run.state().curriculum, 1);
  EXPECT_EQ(said.own, 260);
  EXPECT_EQ(said.retained, never);
  EXPECT_EQ(said.candidates, 3840);
  EXPECT_EQ(said.histogram[0], never);
  EXPECT_EQ(said.histogram[4], 128);
  EXPECT_EQ(said.histogram[8], 3840 - never - 128);
  r = run.advance();
  ASSERT_EQ(r.kind, advance_kind::trained);
  const auto& m = r.metrics;
  EXPECT_EQ(m.phase, "60K");
  EXPECT_EQ(m.phase_step, 1);
  EXPECT_EQ(m.step, 3);
  // 260 + 1152 examples to draw from: 384 a round for three rounds, then the last 260; 130 of the long ones are mixed
  EXPECT_EQ(m.kept, m.mixed);
  EXPECT_LE(m.mixed, 130);
  EXPECT_LE(m.rounds, 4);
  EXPECT_EQ(m.trained, std::min<std::int64_t>(128, m.mixed));
  std::int64_t retained = 0;
  for (const auto& g : run.drawn()) retained += g.example < paper_task::short_ones ? 1 : 0;
  EXPECT_EQ(m.retained, retained);
  EXPECT_GT(retained, 0);
  EXPECT_TRUE(run.advance().phase_ended);
  EXPECT_EQ(run.advance().kind, advance_kind::finished);
}

TEST_F(PaperFlow, NothingToTrainOnIsCountedAndAtLastSaid) {
  task.mixed_every = 1 << 20;  // none but example 0
  auto options = paper_options();
  options.skips = 3, options.refill_rounds = 1;
  rl_trainer run(ctx, policy, task, paper_recipe(5), options);
  std::int64_t skipped = 0;
  try {
    for (int i = 0; i < 20; ++i) {
      const auto r = run.advance();
      skipped += r.kind == advance_kind::skipped ? 1 : 0;
    }
    FAIL() << "no end";
  } catch (const state_error& e) {
    EXPECT_NE(std::string(e.what()).find("all right, all wrong"), std::string::npos);
  }
  EXPECT_GE(skipped, 2);
}

}  // namespace
