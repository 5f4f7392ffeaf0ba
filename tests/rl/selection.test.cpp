// SPDX-License-Identifier: Apache-2.0
#include <ql/rl/covariance.hpp>
#include <ql/rl/kl.hpp>
#include <ql/rl/preference.hpp>
#include <ql/rl/token_advantage.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "rl/support/golden_batch.hpp"

namespace {
using namespace ql::rl;

std::vector<double> golden_advantages(const ql::test::golden_batch<>& b) {
  std::vector<double> per(8), out(b.logp.size());
  outcome_batch<double> in;
  in.reward = b.reward, in.groups = b.prompts;
  grpo_advantage{}(in, ql::view<double, 1>(per));
  broadcast_to_tokens<double>(b.offsets, {}, per, out);
  return out;
}

// The published largest covariances: (7,0) 1.004749, (2,0) 0.564577, (3,3) 0.317771
TEST(Covariance, GoldenOrder) {
  const ql::test::golden_batch<> b;
  const auto a = golden_advantages(b);
  const auto cov = ql::rl::detail::covariances<double>("test", a, b.logp, {});
  const auto at = [&](std::size_t i, std::int64_t t) { return cov[static_cast<std::size_t>(b.offsets[i] + t)]; };
  EXPECT_NEAR(at(7, 0), 1.004749, 6e-7);
  EXPECT_NEAR(at(2, 0), 0.564577, 6e-7);
  EXPECT_NEAR(at(3, 3), 0.317771, 6e-7);
  std::vector<std::uint8_t> chosen(23);
  EXPECT_EQ((kl_cov{.share = 0.1}.operator()<double>(a, b.logp, {}, chosen)), 2);
  EXPECT_EQ(chosen[static_cast<std::size_t>(b.offsets[7])], 1);
  EXPECT_EQ(chosen[static_cast<std::size_t>(b.offsets[2])], 1);
  EXPECT_EQ((kl_cov{}.operator()<double>(a, b.logp, {}, chosen)), 1);
}
TEST(Covariance, ClipCovDrawsFromTheKeyAlone) {
  const ql::test::golden_batch<> b;
  const auto a = golden_advantages(b);
  std::vector<std::uint8_t> one(23), two(23), clipped(23);
  const clip_cov rule{.share = 0.1, .low = 0.1, .high = 0.9};
  const ql::random_key key{.seed = 3, .what = ql::purpose::test};
  EXPECT_EQ(rule.operator()<double>(a, b.logp, {}, clipped, key, one), 2);
  EXPECT_EQ(rule.operator()<double>(a, b.logp, {}, {}, key, two), 2);
  EXPECT_EQ(one, two);
  for (std::size_t t = 0; t < 23; ++t) clipped[t] = one[t];
  rule.operator()<double>(a, b.logp, {}, clipped, key, two);
  for (std::size_t t = 0; t < 23; ++t) EXPECT_FALSE(one[t] != 0 && two[t] != 0);
  EXPECT_EQ(one[static_cast<std::size_t>(b.offsets[7])], 0);  // above `high`
}

template <class L>
void margin_law(const L& loss) {
  for (double z = -40; z < 40; z += 1.37) {
    const double h = 1e-6, slope = (loss(z + h).value - loss(z - h).value) / (2 * h);
    EXPECT_NEAR(loss(z).d, slope, 1e-6 * std::max(1.0, std::abs(slope))) << z;
  }
}
TEST(Preference, DerivativesAndValues) {
  margin_law(dpo{});
  margin_law(dpo{.beta = 0.5, .smoothing = 0.1});
  margin_law(ipo{});
  margin_law(hinge_preference{.beta = 0.13});
  EXPECT_NEAR(dpo{}(0.0).value, std::log(2.0), 1e-15);
  EXPECT_NEAR((dpo{.beta = 1}(-800.0).value), 800.0, 1e-9);
  EXPECT_NEAR((dpo{.beta = 1, .smoothing = 0.2}(1.0).value),
              -0.8 * std::log(1 / (1 + std::exp(-1.0))) - 0.2 * std::log(1 / (1 + std::exp(1.0))), 1e-15);
  EXPECT_EQ(ipo{}(5.0).value, 0.0);
  EXPECT_EQ(hinge_preference{}(0.0).value, 1.0);
  static_assert(!valid(dpo{.smoothing = 0.5}) && preference_loss<dpo, float>);
}
TEST(Preference, PairsOfPackedSequences) {
  const std::vector<std::int64_t> offsets{0, 2, 3, 4, 6};
  std::vector<double> logp{-1, -2, -1.5, -0.5, -1, -1}, ref{-1.1, -2.2, -1, -0.5, -2, -1}, d(6), scratch(6);
  const auto value = [&] {
    return apply_preference(dpo{.beta = 0.7}, offsets, ql::view<const double, 1>(logp), ql::view<const double, 1>(ref),
                            ql::view<double, 1>(scratch));
  };
  const double here = apply_preference(dpo{.beta = 0.7}, offsets, ql::view<const double, 1>(logp),
                                       ql::view<const double, 1>(ref), ql::view<double, 1>(d));
  const double z1 = 0.3 + 0.5, z2 = 0.0 - 1.0;
  EXPECT_NEAR(here, (std::log1p(std::exp(-0.7 * z1)) + std::log1p(std::exp(-0.7 * z2))) / 2, 1e-14);
  for (std::size_t t = 0; t < 6; ++t) {
    logp[t] += 1e-6;
    const double up = value();
    logp[t] -= 2e-6;
    EXPECT_NEAR(d[t], (up - value()) / 2e-6, 1e-8);
    logp[t] += 1e-6;
  }
  const std::vector<std::int64_t> odd{0, 6};
  EXPECT_THROW(apply_preference(dpo{}, odd, ql::view<const double, 1>(logp), ql::view<const double, 1>(ref),
                                ql::view<double, 1>(d)),
               ql::shape_error);
}

template <class Margin>
void margin_is_right(const Margin& margin, double (*direct)(double)) {
  const std::vector<std::int64_t> offsets{0, 2, 3, 4, 7};
  std::vector<double> logp{-1, -2, -1.5, -0.5, -1, -1, -0.2}, ref{-1.1, -2.2, -1, -0.5, -2, -1, -0.7}, d(7), scratch(7);
  for (const auto ratio : {answer_ratio::sum, answer_ratio::mean}) {
    const auto value = [&](std::vector<double>& to) {
      return apply_preference(dpo{.beta = 0.7}, offsets, ql::view<const double, 1>(logp),
                              ql::view<const double, 1>(ref), ql::view<double, 1>(to), margin, ratio);
    };
    const bool mean = ratio == answer_ratio::mean;
    const double z1 = direct(0.3 / (mean ? 2 : 1)) - direct(-0.5), z2 = direct(0.0) - direct(1.5 / (mean ? 3 : 1));
    EXPECT_NEAR(value(d), (std::log1p(std::exp(-0.7 * z1)) + std::log1p(std::exp(-0.7 * z2))) / 2, 1e-14);
    for (std::size_t t = 0; t < logp.size(); ++t) {
      logp[t] += 1e-6;
      const double up = value(scratch);
      logp[t] -= 2e-6;
      EXPECT_NEAR(d[t], (up - value(scratch)) / 2e-6, 1e-8);
      logp[t] += 1e-6;
    }
  }
}
// f'(u) at u = e^s: log u, -1 / u, (1 - u^-alpha) / alpha, log(2 u / (1 + u)), each up to a constant.
TEST(Preference, OtherDivergencesAndMeans) {
  margin_is_right(reverse_kl_margin{}, [](double s) { return std::log(std::exp(s)); });
  margin_is_right(forward_kl_margin{}, [](double s) { return -1 / std::exp(s); });
  margin_is_right(alpha_margin{.alpha = 0.3}, [](double s) { return (1 - std::pow(std::exp(s), -0.3)) / 0.3; });
  margin_is_right(jensen_shannon_margin{}, [](double s) { return std::log(2 * std::exp(s) / (1 + std::exp(s))); });
  // answers far from the reference: finite, and no gradient where the bound holds
  EXPECT_TRUE(std::isfinite(forward_kl_margin{}(-1e4f).value));
  EXPECT_EQ(forward_kl_margin{}(-1e4f).d, 0.0f);
  EXPECT_EQ(alpha_margin{}(-1e4f).d, 0.0f);
  EXPECT_EQ(jensen_shannon_margin{}(-1e4f).value, -1e4f);
  EXPECT_TRUE(std::isnan(forward_kl_margin{}(std::nanf("")).value));
  static_assert(!valid(alpha_margin{.alpha = 1.0}) && !valid(forward_kl_margin{.limit = 100}));
}

TEST(TokenAdvantage, VapoAndTheOptimalBaseline) {
  constexpr vapo_gae v{.gamma = 1, .alpha = 0.05};
  EXPECT_EQ(v.lambda(10), 0.0);
  EXPECT_NEAR(v.lambda(100), 0.8, 1e-15);
  // two sequences, lengths 2 and 1: a baseline at position 0 only
  const std::vector<std::int64_t> offsets{0, 2, 3}, groups{0, 2};
  const std::vector<double> rho{0, 1, 0.5}, logp{std::log(0.5), std::log(0.25), std::log(0.8)}, squares{0.4, 0.3, 0.7};
  std::vector<double> out(3);
  optimal_token_baseline{.eps = 0}(reward_batch<double>{offsets, {}, rho}, groups, ql::view<const double, 1>(logp),
                                   ql::view<const double, 1>(squares), ql::view<double, 1>(out));
  const double w0 = 1 - 1.0 + 0.4, w1 = 1 - 1.6 + 0.7, base = (1 * w0 + 0.5 * w1) / (w0 + w1);
  EXPECT_NEAR(out[0], 1 - base, 1e-12);
  EXPECT_NEAR(out[1], 1.0, 1e-12);
  EXPECT_NEAR(out[2], 0.5 - base, 1e-12);
  // vapo: the policy's lambda is 0 for short sequences, the value's is 1
  const std::vector<double> values{0.2, 0.4, 0.1};
  std::vector<double> a(3), ret(3);
  v(reward_batch<double>{offsets, {}, rho}, ql::view<const double, 1>(values), ql::view<double, 1>(a),
    ql::view<double, 1>(ret));
  EXPECT_NEAR(a[0], 0.4 - 0.2, 1e-15);
  EXPECT_NEAR(ret[0], 1.0, 1e-15);
  EXPECT_NEAR(ret[2], 0.5, 1e-15);
}
TEST(TokenAdvantage, MasksAndKlInTheReward) {
  const std::vector<std::int64_t> offsets{0, 4};
  const std::vector<std::uint8_t> mask{1, 0, 1, 0};
  const std::vector<double> reward{2}, kl{0.1, 9, 0.3, 9}, values{1, 9, 2, 9};
  std::vector<double> rho(4), a(4), b(2);
  token_rewards<double>(offsets, mask, reward, kl, 0.5, rho);
  EXPECT_EQ(rho, (std::vector<double>{-0.05, 0, 1.85, 0}));
  gae{.gamma = 0.9, .lambda = 0.8}(reward_batch<double>{offsets, mask, rho}, ql::view<const double, 1>(values),
                                   ql::view<double, 1>(a));
  const std::vector<std::int64_t> two{0, 2};
  const std::vector<double> rho2{-0.05, 1.85}, values2{1, 2};
  gae{.gamma = 0.9, .lambda = 0.8}(reward_batch<double>{two, {}, rho2}, ql::view<const double, 1>(values2),
                                   ql::view<double, 1>(b));
  EXPECT_EQ(a, (std::vector<double>{b[0], 0, b[1], 0}));  // as if the masked tokens were not there
  discounted_returns(reward_batch<double>{offsets, mask, rho}, 0.5, ql::view<double, 1>(a));
  EXPECT_NEAR(a[0], -0.05 + 0.925, 1e-15);
  std::vector<double> w{1, 100, 3, 100};
  whiten{.spread = divisor::population, .eps = 1e-8, .floor = true}(ql::view<double, 1>(w), mask);
  EXPECT_EQ(w, (std::vector<double>{-1, 100, 1, 100}));
  EXPECT_THROW((reinforce_pp{.gamma = 0}(reward_batch<double>{offsets, mask, rho}, ql::view<double, 1>(a))),
               ql::argument_error);
}
}  // namespace
