// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>
#include <ql/group_update.hpp>
#include <ql/rl/advantage.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/sampler.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <trainer/support/lookup_task.hpp>

namespace {

using namespace ql;
using policy_type = model::decoder<float, cpu::context>;

struct Groups : ::testing::Test {
  cpu::context ctx;
  test::lookup_task task;
  policy_type policy{ctx, test::small_shape()};
  rl::stochastic sampler{{.temperature = 0.7}};
  std::vector<rollout_request> requests;

  Groups() {
    policy.initialise(ctx, 5, 0.2);
    for (std::int64_t e = 0; e < task.examples(); ++e) requests.push_back({e, static_cast<std::uint32_t>(e % 3)});
  }
  std::vector<group<float>> sample(rollout_report* said = nullptr, std::int64_t session_tokens = 1 << 16) {
    rollout_options o;
    o.seed = 11, o.group_size = 4, o.max_new_tokens = 5, o.stop = {test::lookup_task::end};
    o.session_tokens = session_tokens;
    rollout_report r;
    auto groups = session_engine{}(ctx, policy, task, requests, o, sampler, r, [](std::int64_t) {});
    score_groups<test::lookup_task, float>(task, groups);
    if (said != nullptr) *said = r;
    return groups;
  }
};

TEST_F(Groups, AreTheSameHoweverManySessionsDrewThem) {
  rollout_report one, many;
  const auto whole = sample(&one), cut = sample(&many, 39);
  ASSERT_EQ(whole.size(), requests.size());
  EXPECT_EQ(whole, cut);
  EXPECT_EQ(one.sampled, many.sampled);
  EXPECT_LT(one.forwarded, many.forwarded);  // a document whose questions lie in two sessions is read twice
  std::int64_t tokens = 0;
  for (const auto& g : whole) tokens += g.tokens();
  EXPECT_EQ(tokens, one.sampled);
}

TEST_F(Groups, AreTheSameWithTheDocumentSharedOrRepeated) {
  const auto shared = sample();
  task.shared = false;
  EXPECT_EQ(shared, sample());
}

TEST_F(Groups, AskForScoresInOrder) {
  sample();
  std::vector<std::int64_t> expected;
  for (std::int64_t e = 0; e < task.examples(); ++e) expected.insert(expected.end(), 4, e);
  EXPECT_EQ(task.asked, expected);
}

// The training tree repeats the recorded log-probs bit for bit, and its update does not depend on micro-batches.
TEST_F(Groups, TrainWithTheBitsTheyWereSampledWith) {
  auto groups = sample();
  std::vector<const group<float>*> chosen;
  for (auto& g : groups) {
    for (std::size_t i = 0; i < g.answers.size(); ++i) g.answers[i].advantage = i % 2 == 0 ? 1.0f : -0.5f;
    chosen.push_back(&g);
  }
  const auto t = make_training_tree<float>(task, chosen);
  const rl::adamw optimizer;
  const auto updated = [&](std::int64_t micro) {
    policy_type p(ctx, policy.config());
    p.initialise(ctx, 5, 0.2);
    auto state = make_optimizer_state(ctx, p, optimizer);
    const auto r = update_on_groups(ctx, p, t, sampler.distribution(), rl::clip_higher, rl::token_mean{}, optimizer,
                                    state, 1e-3, {.micro_batch_tokens = micro, .compare = true});
    std::vector<float> weights;
    for (const auto& q : p.parameters()) weights.insert(weights.end(), q.master.data(), q.master.data() + q.size());
    return std::pair(r, weights);
  };
  const auto [whole, weights] = updated(1 << 20);
  EXPECT_EQ(whole.compared, t.loss_tokens);
  EXPECT_EQ(whole.differing, 0);
  EXPECT_EQ(whole.log_ratio_max, 0);
  EXPECT_EQ(whole.clip_fraction, 0);
  EXPECT_TRUE(whole.step.applied);
  const auto [cut, cut_weights] = updated(30);
  EXPECT_EQ(weights, cut_weights);
  EXPECT_EQ(whole.loss, cut.loss);
  // on-policy the loss is minus the token mean of the advantages
  double sum = 0;
  for (const auto* g : chosen)
    for (const auto& a : g->answers) sum -= static_cast<double>(a.advantage) * static_cast<double>(a.length());
  EXPECT_NEAR(whole.loss, sum / static_cast<double>(t.loss_tokens), 1e-6);
}

// Everything but the log-probs stays; the noise has the deviation asked for, is seeded, and none is shared.
TEST_F(Groups, PerturbedLogProbs) {
  const auto sample_with = [&](double deviation) {
    rollout_options o;
    o.seed = 11, o.group_size = 4, o.max_new_tokens = 5, o.stop = {test::lookup_task::end};
    rollout_report r;
    auto groups = perturbed_engine<>{.deviation = deviation}(
        ctx, policy, task, std::span<const rollout_request>(requests), o, sampler, r, [](std::int64_t) {});
    score_groups<test::lookup_task, float>(task, groups);
    return groups;
  };
  const auto exact = sample();
  EXPECT_EQ(sample_with(0), exact);
  const auto noisy = sample_with(0.1);
  EXPECT_EQ(noisy, sample_with(0.1));
  double sum = 0, squares = 0, n = 0;
  std::vector<double> seen;
  for (std::size_t g = 0; g < exact.size(); ++g)
    for (std::size_t s = 0; s < exact[g].answers.size(); ++s) {
      const auto &a = exact[g].answers[s], &b = noisy[g].answers[s];
      EXPECT_EQ(a.tokens, b.tokens);
      EXPECT_EQ(a.entropy, b.entropy);
      EXPECT_EQ(a.score, b.score);
      for (std::size_t i = 0; i < a.logp.size(); ++i) {
        const double d = static_cast<double>(b.logp[i]) - static_cast<double>(a.logp[i]);
        sum += d, squares += d * d, ++n;
        seen.push_back(d);
      }
    }
  ASSERT_GT(n, 100);
  EXPECT_NEAR(sum / n, 0, 4 * 0.1 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 0.01, 4 * 0.01 * std::sqrt(2 / n));
  std::sort(seen.begin(), seen.end());
  EXPECT_GT(std::unique(seen.begin(), seen.end(), [](double x, double y) { return y - x < 1e-7; }) - seen.begin(),
            static_cast<std::ptrdiff_t>(n) - 5);
  EXPECT_THROW(sample_with(-1), argument_error);
}

TEST_F(Groups, OtherWeightsAreNoticed) {
  auto groups = sample();
  std::vector<const group<float>*> chosen;
  for (auto& g : groups) {
    for (auto& a : g.answers) a.advantage = 1;
    chosen.push_back(&g);
  }
  const auto t = make_training_tree<float>(task, chosen);
  const rl::adamw optimizer;
  policy_type p(ctx, policy.config());
  p.initialise(ctx, 6, 0.2);
  auto state = make_optimizer_state(ctx, p, optimizer);
  const auto r = update_on_groups(ctx, p, t, sampler.distribution(), rl::clip_higher, rl::token_mean{}, optimizer,
                                  state, 1e-3, {.compare = true});
  EXPECT_GT(r.differing, 0);
  EXPECT_GT(r.log_ratio_max, 0);
}

}  // namespace
