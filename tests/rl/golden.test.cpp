// SPDX-License-Identifier: Apache-2.0
// The golden numbers of tests/golden/formulas.py, which also holds their published six digits.
#include <ql/rl/advantage.hpp>
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/correction.hpp>
#include <ql/rl/kl.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/token_advantage.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "rl/support/formula_goldens.hpp"
#include "rl/support/golden_batch.hpp"

namespace {
using namespace ql::rl;
using ql::test::golden_batch;

namespace formulas = ql::test::formulas;

constexpr double exact = 1e-13, differences = 1e-9;  // computed; by central differences

template <class A>
std::vector<double> advantages(const A& estimator, const golden_batch<>& b = {}) {
  const std::vector<std::int32_t> task(8, 7);
  outcome_batch<double> in;
  in.reward = b.reward;
  in.groups = b.prompts;
  in.length = b.lengths;
  in.task = task;
  std::vector<double> out(8);
  estimator(in, ql::view<double, 1>(out));
  return out;
}
void expect_near(std::span<const double> got, std::span<const double> want, double tolerance = exact) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got[i], want[i], tolerance) << i;
}

TEST(GoldenAdvantage, Grpo) {
  expect_near(advantages(grpo_advantage{}), formulas::grpo);
  expect_near(advantages(grpo_advantage{.eps = 1e-4}), formulas::grpo_1e4);
  expect_near(advantages(grpo_advantage{.leave_one_out = true}), formulas::grpo_leave_one_out);
}
TEST(GoldenAdvantage, OthersPerSequence) {
  expect_near(advantages(dr_grpo_advantage{}), formulas::dr_grpo);
  expect_near(advantages(rloo_advantage{}), formulas::rloo);
  expect_near(advantages(opo_advantage{}), formulas::opo);
  expect_near(advantages(gpg_advantage{}), formulas::gpg);
  expect_near(advantages(max_rl_advantage{}), formulas::max_rl);
  expect_near(advantages(pass_at_k_advantage{}), formulas::pass_at_k);
  expect_near(advantages(batch_std_advantage{}), formulas::batch_std);
  expect_near(advantages(task_std_advantage{}), formulas::batch_std);
}

std::vector<double> first_of_each(const golden_batch<>& b, const std::vector<double>& tokens) {
  std::vector<double> r;
  for (std::size_t i = 0; i < 8; ++i) {
    r.push_back(tokens[static_cast<std::size_t>(b.offsets[i])]);
    for (auto t = b.offsets[i]; t < b.offsets[i + 1]; ++t)
      EXPECT_DOUBLE_EQ(tokens[static_cast<std::size_t>(t)], r.back());
  }
  return r;
}
TEST(GoldenAdvantage, ReinforcePlusPlus) {
  const golden_batch<> b;
  std::vector<double> out(23), rho(23);
  outcome_batch<double> in;
  in.reward = b.reward;
  in.groups = b.prompts;
  reinforce_pp_baseline{}(in, b.offsets, {}, ql::view<double, 1>(out));
  expect_near(first_of_each(b, out), formulas::reinforce_pp_baseline);
  token_rewards<double>(b.offsets, {}, b.reward, {}, 0.0, rho);
  reinforce_pp{}(reward_batch<double>{b.offsets, {}, rho}, ql::view<double, 1>(out));
  expect_near(first_of_each(b, out), formulas::reinforce_pp);
}
TEST(GoldenAdvantage, Gae) {
  const golden_batch<> b;
  std::vector<double> rho(23), a(23), ret(23);
  token_rewards<double>(b.offsets, {}, b.reward, {}, 0.0, rho);
  gae{.gamma = 1, .lambda = 0.95}(reward_batch<double>{b.offsets, {}, rho}, ql::view<const double, 1>(b.values),
                                  ql::view<double, 1>(a), ql::view<double, 1>(ret));
  const auto rows = [&] {
    std::vector<double> r(a.begin(), a.begin() + b.offsets[1]);
    r.insert(r.end(), a.begin() + b.offsets[6], a.begin() + b.offsets[7]);
    return r;
  };
  expect_near(rows(), formulas::gae);
  EXPECT_NEAR(ret[0], formulas::gae[0] + b.values[0], exact);
  whiten{}(ql::view<double, 1>(a));
  expect_near(rows(), formulas::gae_whitened);
}

template <class Loss, class Aggregation>
void expect_loss(const Loss& loss, const Aggregation& how, std::span<const double> want, golden_batch<> b = {}) {
  if (b.advantage.empty()) b.advantage = advantages(grpo_advantage{});
  const auto r = apply_loss(loss, b.batch(), how, b.gradient());
  EXPECT_NEAR(r.value, want[0], exact);
  expect_near(b.dlogp, want.subspan(1), differences);
  EXPECT_TRUE(r.finite());
  EXPECT_EQ(r.tokens, 23);
}

TEST(GoldenLoss, Clip) {
  expect_loss(clip{}, token_mean{}, formulas::clip);
  expect_loss(clip{}, sequence_mean_token_mean{}, formulas::clip_seq_mean_token_mean);
  expect_loss(clip{}, sequence_mean_token_sum{}, formulas::clip_seq_mean_token_sum);
  expect_loss(clip{}, sequence_mean_token_sum_norm{4}, formulas::clip_seq_mean_token_sum_norm);
  expect_loss(clip{}, prompt_mean{}, formulas::clip_prompt_mean);
  expect_loss(clip_higher, token_mean{}, formulas::clip_higher);
  expect_loss(dual_clip{.c = 1.2}, token_mean{}, formulas::dual_clip);
}
TEST(GoldenLoss, Sequence) {
  const gspo wide{.low = 0.2, .high = 0.2, .allow_wide = true};
  expect_loss(gspo{}, sequence_mean_token_mean{}, formulas::gspo);
  expect_loss(wide, sequence_mean_token_mean{}, formulas::gspo_wide);
  expect_loss(gspo_token{}, sequence_mean_token_mean{}, formulas::gspo);
  expect_loss(gmpo{.low = 0.25, .high = 0.25}, sequence_mean_token_mean{}, formulas::gmpo);
}
TEST(GoldenLoss, Cispo) {
  expect_loss(cispo{.cap = ratio_cap{1.28}}, token_mean{}, formulas::cispo_128);
  expect_loss(cispo{.floor = 0.8, .cap = ratio_cap{1.2}}, token_mean{}, formulas::cispo_08_12);
  expect_loss(cispo{}, token_mean{}, formulas::cispo_5);
  // The trap of a clip width taken for a cap (formulas::cispo_trap) cannot be written.
  EXPECT_THROW((void)ratio_cap{0.2}, ql::argument_error);
}
TEST(GoldenLoss, Others) {
  expect_loss(sapo{}, sequence_mean_token_mean{}, formulas::sapo);
  golden_batch<> b;
  b.advantage = advantages(gpg_advantage{});
  expect_loss(reinforce{}, token_mean{}, formulas::gpg_loss, b);
  expect_loss(dppo_tv{}, token_mean{}, formulas::dppo_tv);
  expect_loss(reinforce{}, token_mean{}, formulas::reinforce);
}
TEST(GoldenLoss, Value) {
  const golden_batch<> b;
  double sum = 0;
  for (std::size_t i = 0; i < 8; ++i)
    for (auto t = b.offsets[i]; t < b.offsets[i + 1]; ++t) {
      const double v = b.values[static_cast<std::size_t>(t)];
      sum += value_clip{0.2}(v + 0.3, v, b.reward[i]).value;
    }
  EXPECT_NEAR(sum / 23, formulas::value_loss[0], exact);
}

TEST(GoldenKl, Estimators) {
  golden_batch<> b;
  const auto mean = [&](auto kl) {
    double sum = 0;
    for (std::size_t t = 0; t < 23; ++t) sum += kl(token_term<double>{b.logp[t], 0, 0, b.ref[t], 0, 0}).value;
    return sum / 23;
  };
  EXPECT_NEAR(mean(k1{}), formulas::kl[0], exact);
  EXPECT_NEAR(mean(k2{}), formulas::kl[1], exact);
  EXPECT_NEAR(mean(k3{}), formulas::kl[2], exact);
}

TEST(GoldenCorrection, Weights) {
  const golden_batch<> b;
  std::vector<double> weights;
  const auto each = [&](const auto& c) {
    weights.clear();
    double sum = 0, kept = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      sequence_term<1> s;
      const auto term = [&](std::int64_t t) {
        const auto k = static_cast<std::size_t>(t);
        return token_term<double>{b.logp[k], b.old[k], b.rollout[k], 0, 0, 0};
      };
      for (auto t = b.offsets[i]; t < b.offsets[i + 1]; ++t)
        s.sum[0] += b.old[static_cast<std::size_t>(t)] - b.rollout[static_cast<std::size_t>(t)], ++s.count;
      for (auto t = b.offsets[i]; t < b.offsets[i + 1]; ++t) {
        double w = 0;
        if constexpr (std::decay_t<decltype(c)>::sums == 1) {
          w = c.weight(term(t), s);
        } else {
          w = c.weight(term(t), sequence_term<0>{});
        }
        sum += w;
        kept += w != 0;
        if (t == b.offsets[i]) weights.push_back(w);
      }
    }
    return std::pair{sum / 23, kept / 23};
  };
  EXPECT_NEAR(each(token_tis{.cap = ratio_cap{1.05}}).first, formulas::tis[0], exact);
  const auto pop = each(token_mask{0.98, 1.05});
  EXPECT_NEAR(pop.second, formulas::icepop[0], exact);
  EXPECT_NEAR(pop.first, formulas::icepop[1], exact);
  each(sequence_mask{.low = 0, .high = 2});
  expect_near(weights, formulas::sequence_ratio);
  each(sequence_tis{.cap = ratio_cap{1.05}});
  for (std::size_t i = 0; i < 8; ++i) EXPECT_NEAR(weights[i], std::min(formulas::sequence_ratio[i], 1.05), exact);
  const auto inside = [&](double low, double high) {
    for (std::size_t i = 0; i < 8; ++i)
      EXPECT_EQ(weights[i], formulas::geometric_ratio[i] >= low && formulas::geometric_ratio[i] <= high ? 1 : 0) << i;
  };
  each(geometric_rejection{.low = 0.9905, .high = 1.0202});
  inside(0.9905, 1.0202);
  each(geometric_rejection{.low = 0.99, .high = 1.02021});
  inside(0.99, 1.02021);

  const auto report = engine_mismatch<double>(b.old, b.rollout);
  EXPECT_NEAR(report.mean_weight, formulas::is_mean[0], exact);
  EXPECT_NEAR(report.ess_fraction, formulas::effective_share[0], exact);
  EXPECT_NEAR(report.chi_squared, formulas::chi_squared[0], exact);
  EXPECT_FALSE(report.exact());
}
}  // namespace
