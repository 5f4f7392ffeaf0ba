// SPDX-License-Identifier: Apache-2.0
#include <ql/rl/advantage.hpp>
#include <ql/rl/entropy.hpp>
#include <ql/rl/filter.hpp>
#include <ql/rl/kl.hpp>
#include <ql/rl/length.hpp>
#include <ql/rl/schedule.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace {
using namespace ql::rl;

TEST(Overlong, PaperPoints) {
  constexpr overlong_penalty demo{10000, 1000};
  EXPECT_EQ(demo(9000), 0.0);
  EXPECT_EQ(demo(9500), -0.5);
  EXPECT_EQ(demo(10000), -1.0);
  EXPECT_EQ(demo(12000), -1.0);
  constexpr overlong_penalty dapo{20480, 4096};
  EXPECT_EQ(dapo(16384), 0.0);
  EXPECT_EQ(dapo(18432), -0.5);
  EXPECT_EQ(dapo(20480), -1.0);
  EXPECT_EQ(dapo(21000), -1.0);
  static_assert(valid(demo) && !valid(overlong_penalty{100, 200}));
}
TEST(Overlong, FilterMasksTruncatedSequences) {
  const std::vector<std::int64_t> offsets{0, 2, 2, 5};
  const std::vector<std::uint8_t> truncated{1, 0, 0};
  std::vector<std::uint8_t> mask{1, 1, 1, 0, 1};
  overlong_filter(offsets, truncated, mask);
  EXPECT_EQ(mask, (std::vector<std::uint8_t>{0, 0, 1, 0, 1}));
  EXPECT_THROW(overlong_filter(offsets, std::vector<std::uint8_t>{1}, mask), ql::shape_error);
}
TEST(Length, StopProperlyAndGroupReward) {
  EXPECT_EQ(stop_properly{}(1.0, true), 0.0);
  EXPECT_EQ((stop_properly{.coefficient = 0.5}(1.0, true)), 0.5);
  EXPECT_EQ((stop_properly{.constant = -1}(1.0, true)), -1.0);
  EXPECT_EQ((stop_properly{.constant = -1}(1.0, false)), 1.0);
  constexpr group_length_reward r;
  EXPECT_EQ(r(100, 100, 300, true), 0.5);
  EXPECT_EQ(r(300, 100, 300, true), -0.5);
  EXPECT_EQ(r(100, 100, 300, false), 0.0);
  EXPECT_EQ(r(300, 100, 300, false), -0.5);
  EXPECT_EQ(r(100, 100, 100, true), 0.0);
}

TEST(DynamicSampling, KeepsMixedGroupsOfTheTaskScore) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> score{1, 0, 1, 1, 0, 0, 0.5, 0.25, 1, nan};
  const std::vector<std::int64_t> groups{0, 2, 4, 6, 8, 10};
  std::vector<std::uint8_t> keep(5);
  const auto filtered = [&](auto filter) {
    return filter_groups<decltype(filter), double>(filter, score, groups, keep);
  };
  EXPECT_EQ(filtered(mixed_groups{}), 2);
  EXPECT_EQ(keep, (std::vector<std::uint8_t>{1, 0, 0, 1, 0}));
  EXPECT_EQ(filtered(mixed_accuracy{}), 1);
  EXPECT_EQ(keep, (std::vector<std::uint8_t>{1, 0, 0, 0, 0}));
  EXPECT_EQ(filtered(all_groups{}), 4);
  EXPECT_THROW((filter_groups<all_groups, double>({}, score, std::vector<std::int64_t>{0, 3}, keep)), ql::shape_error);
}
TEST(DynamicSampling, RefillStopsAtTargetOrAtTheLimit) {
  constexpr refill r{.target = 5, .rounds = 3};
  refill::state s;
  EXPECT_EQ(r.observe(s, 4, 2), refill::next::draw);
  EXPECT_EQ(r.observe(s, 4, 3), refill::next::train);
  EXPECT_EQ(s, (refill::state{5, 2, 8}));
  s = {};
  EXPECT_EQ(r.observe(s, 4, 0), refill::next::draw);
  EXPECT_EQ(r.observe(s, 4, 1), refill::next::draw);
  EXPECT_EQ(r.observe(s, 4, 1), refill::next::give_up);
  EXPECT_EQ((refill{5, 0}.observe(s, 4, 1)), refill::next::draw);
}

TEST(Schedule, Shapes) {
  constexpr constant_schedule flat{2e-6};
  EXPECT_EQ(flat(0), 2e-6);
  constexpr constant_schedule warm{1.0, 4};
  EXPECT_EQ(warm(0), 0.25);
  EXPECT_EQ(warm(3), 1.0);
  constexpr linear_schedule line{.rate = 1, .warmup = 2, .total = 12, .floor = 0.1};
  EXPECT_EQ(line(0), 0.5);
  EXPECT_NEAR(line(7), 0.55, 1e-15);
  EXPECT_NEAR(line(12), 0.1, 1e-15);
  EXPECT_NEAR(line(100), 0.1, 1e-15);
  constexpr cosine_schedule wave{.rate = 2, .warmup = 0, .total = 10};
  EXPECT_EQ(wave(0), 2.0);
  EXPECT_NEAR(wave(5), 1.0, 1e-12);
  EXPECT_NEAR(wave(10), 0.0, 1e-12);
  EXPECT_NEAR(wave(3), 1 + std::cos(3.141592653589793 * 0.3), 1e-12);
  constexpr wsd_schedule wsd{.rate = 1, .warmup = 2, .total = 20, .decay = 5};
  EXPECT_EQ(wsd(10), 1.0);
  EXPECT_EQ(wsd(15), 1.0);
  EXPECT_NEAR(wsd(16), 0.8, 1e-15);
  EXPECT_NEAR(wsd(20), 0.0, 1e-15);
  static_assert(schedule<constant_schedule> && schedule<wsd_schedule> && !schedule<int>);
  static_assert(!valid(linear_schedule{.rate = 1, .warmup = 5, .total = 5}));
}

TEST(Aepo, Hysteresis) {
  constexpr aepo rule{.low = 0.1, .high = 0.3};
  aepo::state s;
  const std::vector<std::pair<double, bool>> walk{{0.2, false}, {0.31, true},  {0.2, true},  {0.3, true},
                                                  {0.1, true},  {0.09, false}, {0.2, false}, {0.4, true}};
  for (const auto& [entropy, masked] : walk) {
    s = rule.observe(s, entropy);
    EXPECT_EQ(s.masked, masked) << entropy;
  }
  static_assert(!valid(aepo{0.3, 0.3}));
  constexpr aepo_released released{0.1, 0.3};
  EXPECT_TRUE(released.keeps(0.4, -1, 0));
  EXPECT_FALSE(released.keeps(0.2, -1, 1));
  EXPECT_FALSE(released.keeps(0.2, 1, 0));
  EXPECT_TRUE(released.keeps(0.2, 1, 1));
}
TEST(Entropy, AdaptiveCoefficient) {
  constexpr adaptive_entropy rule{.target = 0.2, .delta = 0.005, .highest = 0.01};
  adaptive_entropy::state s;
  s = rule.observe(s, 0.1);
  EXPECT_EQ(s.coefficient, 0.005);
  s = rule.observe(rule.observe(s, 0.2), 0.1);
  EXPECT_EQ(s.coefficient, 0.01);
  EXPECT_EQ(rule.applied(s, 0.2), 0.01);
  EXPECT_EQ(rule.applied(s, 0.21), 0.0);
  for (int i = 0; i < 5; ++i) s = rule.observe(s, 0.5);
  EXPECT_EQ(s.coefficient, 0.0);
}
TEST(Entropy, BatchMeanAndMasks) {
  const std::vector<double> h{1, 3, 9, 2, 4, 6};
  const std::vector<std::int64_t> offsets{0, 3, 3, 6};
  const std::vector<std::uint8_t> mask{1, 1, 0, 1, 1, 1};
  EXPECT_EQ((batch_entropy<double>(h, offsets, mask)), 3.0);
  std::vector<std::uint8_t> out(6);
  top_entropy_mask<double>(h, mask, 0.5, out);  // median of 1 2 3 4 6
  EXPECT_EQ(out, (std::vector<std::uint8_t>{0, 1, 0, 0, 1, 1}));
  EXPECT_THROW(top_entropy_mask<double>(h, mask, 0.0, out), ql::argument_error);
  const std::vector<double> a{1, -1, 2, 0, -2, 3};
  positive_mask<double>(a, mask, out);
  EXPECT_EQ(out, (std::vector<std::uint8_t>{1, 0, 0, 1, 0, 1}));
}
TEST(Kl, AdaptiveController) {
  constexpr adaptive_kl c{.target = 0.1, .horizon = 10000};
  EXPECT_NEAR(c.next(0.2, 0.11, 1000), 0.2 * (1 + 0.1 * 0.1), 1e-12);
  EXPECT_NEAR(c.next(0.2, 10.0, 1000), 0.2 * 1.02, 1e-12);
  EXPECT_NEAR(c.next(0.2, 0.0, 1000), 0.2 * 0.98, 1e-12);
}

TEST(Advantage, SuccessesOfEight) {
  for (int s = 1; s < 8; ++s) {
    std::vector<double> reward(8), out(8);
    for (int i = 0; i < s; ++i) reward[static_cast<std::size_t>(i)] = 1;
    const std::vector<std::int64_t> groups{0, 8};
    outcome_batch<double> in;
    in.reward = reward, in.groups = groups;
    grpo_advantage{}(in, ql::view<double, 1>(out));
    const double std = std::sqrt(s * (8 - s) / 56.0);
    EXPECT_NEAR(out[0], (1 - s / 8.0) / (std + 1e-6), 1e-12);
    EXPECT_NEAR(out[7], -(s / 8.0) / (std + 1e-6), 1e-12);
  }
}
TEST(Advantage, TaskWithOneSampleDoesNotBlowUp) {
  const std::vector<double> reward{1, 0, 0.5};
  const std::vector<std::int64_t> groups{0, 2, 3};
  const std::vector<std::int32_t> task{0, 1, 1};
  std::vector<double> out(3);
  outcome_batch<double> in;
  in.reward = reward, in.groups = groups, in.task = task;
  task_std_advantage{.single = single_group::zero}(in, ql::view<double, 1>(out));
  EXPECT_NEAR(out[0], 0.5 / (1 + 1e-6), 1e-12);  // the only sample of its task: std 1
  EXPECT_NEAR(out[1], -0.5 / (std::sqrt(0.125) + 1e-6), 1e-12);
  EXPECT_EQ(out[2], 0.0);
}
TEST(Advantage, GroupOfOneIsAChoice) {
  const std::vector<double> reward{0.75};
  const std::vector<std::int64_t> groups{0, 1};
  std::vector<double> out(1);
  outcome_batch<double> in;
  in.reward = reward, in.groups = groups;
  const ql::view<double, 1> to(out);
  EXPECT_THROW(grpo_advantage{}(in, to), ql::argument_error);
  grpo_advantage{.single = single_group::raw_reward}(in, to);
  EXPECT_EQ(out[0], 0.75);
  grpo_advantage{.single = single_group::zero}(in, to);
  EXPECT_EQ(out[0], 0.0);
}
TEST(Advantage, RejectsWrongShapes) {
  const std::vector<double> reward{1, 0, 1};
  std::vector<double> out(3);
  outcome_batch<double> in;
  in.reward = reward;
  const std::vector<std::int64_t> short_groups{0, 2}, wild{0, 5, 3}, good{0, 3};
  in.groups = short_groups;
  EXPECT_THROW(grpo_advantage{}(in, ql::view<double, 1>(out)), ql::shape_error);
  in.groups = wild;
  EXPECT_THROW(grpo_advantage{}(in, ql::view<double, 1>(out)), ql::shape_error);
  in.groups = good;
  EXPECT_THROW(opo_advantage{}(in, ql::view<double, 1>(out)), ql::shape_error);
  EXPECT_THROW(task_std_advantage{}(in, ql::view<double, 1>(out)), ql::shape_error);
  EXPECT_THROW(remax_advantage{}(in, ql::view<double, 1>(out)), ql::shape_error);
  EXPECT_THROW((grpo_advantage{.eps = 0}(in, ql::view<double, 1>(out))), ql::argument_error);
}
TEST(Advantage, GdpoNormalisesEachKind) {
  const std::vector<double> two{1, 0, 0, 1, 10, 30, 20, 20};
  const std::vector<std::int64_t> groups{0, 4};
  const std::vector<double> w{1.0, 2.0};
  std::vector<double> out(4);
  outcome_batch<double> in;
  in.groups = groups;
  in.rewards = ql::view<const double, 2>(two.data(), {2, 4});
  gdpo_advantage{.weights = w, .whiten = false}(in, ql::view<double, 1>(out));
  const double a = 0.5 / (std::sqrt(1.0 / 3) + 1e-6), b = 10 / (std::sqrt(200.0 / 3) + 1e-6);
  EXPECT_NEAR(out[0], a - 2 * b, 1e-12);
  EXPECT_NEAR(out[1], -a + 2 * b, 1e-12);
  gdpo_advantage{.weights = w}(in, ql::view<double, 1>(out));
  EXPECT_NEAR(out[0] + out[1] + out[2] + out[3], 0, 1e-12);
}
}  // namespace
