// SPDX-License-Identifier: Apache-2.0
#include <ql/rl/correction_batch.hpp>
#include <ql/rl/filter.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/resampling.hpp>
#include <ql/testing/rl_laws.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "rl/support/formula_goldens.hpp"
#include "rl/support/golden_batch.hpp"

namespace {
using namespace ql::rl;
namespace formulas = ql::test::formulas;
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
ql::random_key key(std::uint32_t example) { return {.seed = 4, .what = ql::purpose::test, .example = example}; }

TEST(PfPpo, WeightsOfTheThreeRules) {
  const std::vector<double> score{-2, 0.5, 0, 1};
  std::vector<double> w(4);
  const auto weights = [&](const pf_ppo& rule) {
    rule.weights<double>(score, w);
    return w;
  };
  EXPECT_EQ(weights({.floor = 1e-8}), (std::vector<double>{4 + 1e-8, 0.25 + 1e-8, 1e-8, 1 + 1e-8}));
  weights({.power = 3});
  EXPECT_NEAR(w[0], 8, 1e-7);
  EXPECT_NEAR(w[1], 0.125, 1e-7);
  EXPECT_EQ(weights({.by = pf_ppo::rule::extremes, .floor = 1}), (std::vector<double>{2, 1, 1, 2}));
  weights({.by = pf_ppo::rule::best_random});
  EXPECT_NEAR(w[3], 0.4, 1e-7);
  EXPECT_NEAR(w[0], 0.1, 1e-7);
}
TEST(PfPpo, DrawsBySizeAndDependsOnTheKeyAlone) {
  const std::vector<double> score{0, -1, 2, 0.5};
  std::vector<std::int64_t> chosen(20'000), again(20'000);
  const pf_ppo rule;
  rule.operator()<double>(score, key(1), chosen);
  rule.operator()<double>(score, key(1), again);
  EXPECT_EQ(chosen, again);
  rule.operator()<double>(score, key(2), again);
  EXPECT_NE(chosen, again);
  double chi = 0;
  const double total = 1 + 4 + 0.25;
  for (std::int64_t i = 1; i < 4; ++i) {
    const double p = score[static_cast<std::size_t>(i)] * score[static_cast<std::size_t>(i)] / total;
    const double expected = 20'000 * p, got = static_cast<double>(std::count(chosen.begin(), chosen.end(), i));
    chi += (got - expected) * (got - expected) / expected;
  }
  EXPECT_LT(chi, 27.6);  // 2 degrees of freedom, 1e-6
  EXPECT_EQ(std::count(chosen.begin(), chosen.end(), 0), 0);
  const std::vector<double> zeros(3);
  std::vector<std::int64_t> few(50);
  rule.operator()<double>(zeros, key(3), few);
  EXPECT_GT(*std::max_element(few.begin(), few.end()), *std::min_element(few.begin(), few.end()));
  const std::vector<double> bad{1, nan};
  EXPECT_THROW(rule.operator()<double>(bad, key(3), few), ql::argument_error);
  EXPECT_THROW((pf_ppo{.power = 0}.operator()<double>(zeros, key(3), few)), ql::argument_error);
}

TEST(DifficultyPools, WeighTasksByTheirLastGroup) {
  const difficulty_pools rule{{{0, 0.2, 0.5}, {0.2, 0.8, 2.0}, {0.9, 1.0, 0.0}}};
  EXPECT_EQ(rule.weight(0), 0.5);
  EXPECT_EQ(rule.weight(0.2), 2.0);
  EXPECT_EQ(rule.weight(1.0), 0.0);
  EXPECT_EQ(rule.weight(0.85), 1.0);  // in none
  EXPECT_EQ(rule.weight(nan), 1.0);   // unseen
  const std::vector<double> last{0.1, 0.5, 0.95, nan};
  std::vector<std::int64_t> chosen(3), count(4);
  rule(last, key(1), chosen);
  std::sort(chosen.begin(), chosen.end());
  EXPECT_EQ(chosen, (std::vector<std::int64_t>{0, 1, 3}));
  std::vector<std::int64_t> one(1);
  for (std::uint32_t k = 0; k < 14'000; ++k) {
    rule(last, key(k), one);
    ++count[static_cast<std::size_t>(one[0])];
  }
  EXPECT_NEAR(static_cast<double>(count[0]), 2000, 250);  // 0.5 of 3.5
  EXPECT_NEAR(static_cast<double>(count[1]), 8000, 350);
  EXPECT_EQ(count[2], 0);
  std::vector<std::int64_t> many(4);
  EXPECT_THROW(rule(last, key(1), many), ql::shape_error);
  EXPECT_FALSE(valid(difficulty_pools{{{0, 0.5, 1}, {0.4, 1, 1}}}));
  EXPECT_FALSE(valid(difficulty_pools{{{0.5, 0.5, 1}}}));
}
TEST(DifficultyPools, GateDropsGroupsWithoutEffect) {
  const std::vector<double> advantage{0, 0, 1, -1, 0.05, -0.05, nan, 1};
  const std::vector<std::int64_t> groups{0, 2, 4, 6, 8};
  std::vector<std::uint8_t> keep(4);
  EXPECT_EQ((filter_groups<effective_groups, double>({}, advantage, groups, keep)), 2);
  EXPECT_EQ(keep, (std::vector<std::uint8_t>{0, 1, 1, 0}));
  EXPECT_EQ((filter_groups<effective_groups, double>({-0.1, 0.1}, advantage, groups, keep)), 1);
  EXPECT_THROW((filter_groups<effective_groups, double>({1, 0}, advantage, groups, keep)), ql::argument_error);
}

TEST(BatchNormalised, WeightsHaveMeanOne) {
  const ql::test::golden_batch<> b;
  const token_tis tis{.cap = ratio_cap{1.05}};
  auto mean = mean_weight(tis, b.batch());
  EXPECT_EQ(mean.tokens, 23);
  EXPECT_EQ(mean.sequences, 8);
  EXPECT_NEAR(mean.token_mean(), formulas::tis[0], 1e-13);
  const normalised by{tis, mean.token_mean()};
  std::vector<double> weights;
  ql::rl::detail::for_each_weight(by, b.batch(), [&](std::int64_t, double w, bool) { weights.push_back(w); });
  ASSERT_EQ(weights.size(), 23u);
  for (std::size_t t = 0; t < 23; ++t) EXPECT_NEAR(weights[t], formulas::tis_normalised[t], 1e-13) << t;

  const sequence_tis sequence{.cap = ratio_cap{1.05}};
  const normalised whole{sequence, mean_weight(sequence, b.batch()).sequence_mean()};
  weights.clear();
  ql::rl::detail::for_each_weight(whole, b.batch(), [&](std::int64_t, double w, bool first) {
    if (first) weights.push_back(w);
  });
  ASSERT_EQ(weights.size(), 8u);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_NEAR(weights[i], formulas::sequence_tis_normalised[i], 1e-13) << i;
  mean += mean_weight(tis, b.batch());
  EXPECT_EQ(mean.tokens, 46);
  EXPECT_NEAR(mean.token_mean(), formulas::tis[0], 1e-13);
  static_assert(!valid(normalised{token_tis{}, 0.0}));
}
TEST(DivergenceRejection, TokensAndSequences) {
  // q = 0.5, -0.1 | 0.2, 0.2: k2 = 0.125, 0.005 | 0.02, 0.02
  const std::vector<std::int64_t> offsets{0, 2, 4};
  const std::vector<double> old{-1, -1, -1, -1}, rollout{-1.5, -0.9, -1.2, -1.2};
  token_batch<double> b;
  b.offsets = offsets, b.old = old, b.rollout = rollout;
  std::vector<std::uint8_t> out(4);
  const auto kept = [&](const auto& c) {
    kept_mask(c, b, out);
    return out;
  };
  using mask = std::vector<std::uint8_t>;
  const auto k2 = divergence::k2;
  EXPECT_EQ(kept(divergence_rejection<drift_of::token>{k2, 0.03}), (mask{0, 1, 1, 1}));
  EXPECT_EQ(kept(divergence_rejection<drift_of::sum>{k2, 0.03}), (mask{0, 0, 0, 0}));
  EXPECT_EQ(kept(divergence_rejection<drift_of::sum>{k2, 0.05}), (mask{0, 0, 1, 1}));
  EXPECT_EQ(kept(divergence_rejection<drift_of::mean>{k2, 0.03}), (mask{0, 0, 1, 1}));
  EXPECT_EQ(kept(divergence_rejection<drift_of::maximum>{k2, 0.1}), (mask{0, 0, 1, 1}));
  EXPECT_EQ(kept(divergence_rejection<drift_of::maximum>{k2, 0.2}), (mask{1, 1, 1, 1}));
  const double k3 = std::exp(0.5) - 1.5;
  EXPECT_EQ(kept(divergence_rejection<drift_of::token>{divergence::k3, k3 + 1e-12}), (mask{1, 1, 1, 1}));
  EXPECT_EQ(kept(divergence_rejection<drift_of::token>{divergence::k3, k3 - 1e-12}), (mask{0, 1, 1, 1}));
  const double error = (std::exp(0.5) + std::exp(0.1)) / 2;
  EXPECT_EQ(kept(sequence_error_mask{error + 1e-12}), (mask{1, 1, 1, 1}));
  EXPECT_EQ(kept(sequence_error_mask{error - 1e-12}), (mask{0, 0, 1, 1}));
  const mask only{0, 1, 1, 0};
  b.mask = only;
  EXPECT_EQ(kept(divergence_rejection<drift_of::mean>{k2, 0.03}), (mask{0, 1, 1, 0}));
  b.rollout = {};
  EXPECT_THROW(kept(sequence_error_mask{}), ql::shape_error);
}
}  // namespace
