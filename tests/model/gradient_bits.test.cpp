// SPDX-License-Identifier: Apache-2.0
// Gradient bits belong to the data: micro-batches, threads and what a tape keeps change nothing; lanes do, slightly.
#include <gtest/gtest.h>

#include <iostream>

#include "model/support/gradient.hpp"
#include "model/support/row_rule.hpp"

using namespace ql;
using namespace ql::test;

namespace {

// Enough trees for three lanes, some cut into units.
token_tree forest(dice& d, std::int64_t vocabulary) {
  auto t = random_forest(d, vocabulary, {.roots = 9, .segments = 6, .longest = 50});
  const auto root = t.add_root(d.ids(130, vocabulary));
  const auto question = t.add(root, d.ids(30, vocabulary), role::prompt);
  for (int i = 0; i < 6; ++i) t.add(i < 3 ? question : root, d.ids(35, vocabulary));
  return t;
}

// Cuts at random places where a tree ends.
std::vector<unit_range> uneven(dice& d, const lane_plan& plan) {
  std::vector<unit_range> parts;
  std::int32_t first = 0;
  for (std::int32_t i = 0; i < plan.all().count; ++i) {
    if (!plan.units[static_cast<std::size_t>(i)].ends_tree || (i + 1 < plan.all().count && d.chance(0.6))) continue;
    parts.push_back({first, i + 1 - first});
    first = i + 1;
  }
  return parts;
}

template <class T>
void same_bits(std::int64_t which, int threads) {
  using A = accumulate_t<T>;
  const std::int64_t vocabulary = which == 0 ? 530 : 45;
  const auto shape = which == 0 ? qwen2(vocabulary) : which == 1 ? qwen3(vocabulary, 36) : llama(vocabulary, 48);
  const lane_options lanes{.lanes = 3, .unit_tokens = 90};
  cpu::context one, ctx({.threads = threads});
  dice d(static_cast<std::uint64_t>(which) + 50);
  const distribution frozen{.temperature = 0.7, .top_k = 10, .rule = support_rule::frozen};
  const auto q =
      random_demand<A>(d, forest(d, vocabulary), vocabulary, which == 2 ? frozen : distribution{.temperature = 0.7});
  const auto first = make_decoder<T>(one, shape, lanes);
  const auto expected = gradients_of<T>(one, *first, q);
  EXPECT_GT(largest_difference(expected, gradient_list<A>(expected)), -1);
  const auto policy = make_decoder<T>(ctx, shape, lanes);
  const auto plan = plan_lanes(q.tree, lanes);
  std::vector<std::vector<unit_range>> cuts{{plan.all()},    plan.split(1),   plan.split(100),
                                            plan.split(400), uneven(d, plan), uneven(d, plan)};
  ASSERT_GT(cuts[1].size(), cuts[3].size());
  ASSERT_GT(plan.units.size(), cuts[1].size()) << "some tree is cut into units";
  std::size_t n = 0;
  for (const auto& parts : cuts)
    for (auto keep : keeps) {
      if (threads > 1 && n++ % 6 != 0) continue;  // a part of the combinations
      EXPECT_EQ(different_bits<T>(*policy, expected, gradients_of<T>(ctx, *policy, q, keep, parts)), "")
          << parts.size() << " parts, keep " << static_cast<int>(keep);
    }
}

template <class T>
void lanes_agree(double tolerance) {
  using A = accumulate_t<T>;
  cpu::context ctx;
  dice d(9);
  const std::int64_t vocabulary = 45;
  const auto q = random_demand<A>(d, forest(d, vocabulary), vocabulary, {.temperature = 0.7});
  gradient_list<A> one;
  double worst = 0;
  for (std::int32_t lanes : {1, 2, 3, 8, 64}) {
    const auto policy = make_decoder<T>(ctx, qwen3(vocabulary), {.lanes = lanes, .unit_tokens = 90});
    const auto g = gradients_of<T>(ctx, *policy, q);
    EXPECT_EQ(different_bits<T>(*policy, g, gradients_of<T>(ctx, *policy, q)), "") << lanes << " lanes, again";
    if (one.empty()) one = g;
    worst = std::max(worst, largest_difference(one, g));
  }
  EXPECT_LE(worst, tolerance);
  EXPECT_GT(worst, 0) << "lanes are another order of sums";
  std::cout << scalar_name<T> << ": lanes differ by " << worst << std::endl;
}

}  // namespace

TEST(GradientBits, OfAnySplitInFloat) {
  for (int which : {0, 1, 2}) same_bits<float>(which, 1);
}
TEST(GradientBits, OfAnySplitInBf16) {
  for (int which : {0, 1, 2}) same_bits<bf16>(which, 1);
}
TEST(GradientBits, OfAnySplitInDouble) { same_bits<double>(1, 1); }

TEST(GradientBitsThreads, OfTwoThreads) {
  same_bits<float>(0, 2);
  same_bits<bf16>(1, 2);
}
TEST(GradientBitsThreads, OfFourThreads) {
  same_bits<float>(1, 4);
  same_bits<bf16>(2, 4);
  same_bits<double>(2, 4);
}

TEST(GradientBits, LanesAgree) {
  lanes_agree<double>(1e-13);
  lanes_agree<float>(1e-5);
  lanes_agree<bf16>(1e-4);  // activations and weights are the same; only sums of gradients differ
}

TEST(GradientBits, FrozenParametersHaveNoGradientAndChangeNothingElse) {
  cpu::context ctx;
  dice d(4);
  const auto q = random_demand<float>(d, forest(d, 45), 45, {.temperature = 0.7});
  const auto policy = make_decoder<float>(ctx, qwen2(45), {.lanes = 3, .unit_tokens = 90});
  const auto all = gradients_of<float>(ctx, *policy, q);
  const auto before = ctx.bytes_in_use();
  const auto chosen = [](std::string_view name) {
    return name.ends_with("k_proj.weight") || name.ends_with("v_proj.bias");
  };
  policy->set_trainable(chosen);
  EXPECT_LT(ctx.bytes_in_use(), before) << "their gradients are given back";
  const auto some = gradients_of<float>(ctx, *policy, q);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto& p = policy->parameters()[i];
    EXPECT_EQ(p.trainable, chosen(p.name)) << p.name;
    if (chosen(p.name)) {
      EXPECT_EQ(all[i], some[i]) << p.name;
    } else {
      EXPECT_TRUE(p.gradient.empty() && p.lane.empty()) << p.name;
    }
  }
  policy->set_trainable([](std::string_view) { return true; });
  EXPECT_EQ(different_bits<float>(*policy, all, gradients_of<float>(ctx, *policy, q)), "") << "and thawed again";
}
