// SPDX-License-Identifier: Apache-2.0
// Ranks that split the rows of a tree: scores have the bits of one rank; gradients are the same on all ranks and in
// every run, and those of one rank up to the order of sums.
#include <ql/comm/threads.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <iostream>
#include <mutex>

#include "model/support/gradient.hpp"

using namespace ql;
using namespace ql::test;

namespace {

constexpr std::int64_t vocabulary = 45;
constexpr model::keep every_keep[] = {model::keep::everything, model::keep::inputs_and_attention, model::keep::inputs,
                                      model::keep::nothing};

// Random trees, and a document with two questions and answers under each: its root has pages for all ranks.
token_tree forest(dice& d) {
  auto t = random_forest(d, vocabulary, {.roots = 4, .segments = 6, .longest = 50});
  const auto root = t.add_root(d.ids(300, vocabulary));
  for (int q = 0; q < 2; ++q) {
    const auto question = t.add(root, d.ids(d.between(1, 70), vocabulary), role::prompt);
    for (int i = 0; i < 3; ++i) t.add(question, d.ids(d.between(1, 90), vocabulary));
  }
  return t;
}

template <class A>
struct outcome {
  std::vector<A> logp, entropy;
  gradient_list<A> gradient;
};
template <class A>
bool same_bits(const std::vector<A>& a, const std::vector<A>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(A)) == 0);
}

template <class T, class A = accumulate_t<T>>
outcome<A> compute(cpu::context& ctx, decoder_of<T>& policy, const demand<A>& q, model::keep keep,
                   std::span<const unit_range> parts = {}) {
  outcome<A> out;
  out.logp.assign(q.dlogp.size(), 0);
  out.entropy = out.logp;
  options_of<T> o;
  o.distribution = q.dist, o.support = q.kept(), o.backward = false;
  policy.score(ctx, q.tree, plan_lanes(q.tree, policy.lanes()), plan_lanes(q.tree, policy.lanes()).all(), o,
               {out.logp, out.entropy});
  out.gradient = gradients_of<T>(ctx, policy, q, keep, parts);
  return out;
}

struct row_split {
  std::vector<int> ranks;
  lane_options lanes;
  double tolerance;
  model::attention_split attention = model::attention_split::keys;
};

template <class T>
void split(std::uint64_t seed, const row_split& how) {
  using A = accumulate_t<T>;
  dice d(seed);
  auto shape = seed % 3 == 0 ? qwen2(vocabulary) : seed % 3 == 1 ? qwen3(vocabulary) : llama(vocabulary);
  if (how.attention == model::attention_split::heads) shape.heads = 8, shape.kv_heads = 4;
  const distribution frozen{.temperature = 0.7, .top_k = 10, .rule = support_rule::frozen};
  const auto q = random_demand<A>(d, forest(d), vocabulary, seed % 2 == 0 ? frozen : distribution{.temperature = 0.7});
  cpu::context ctx;
  const auto alone = make_decoder<T>(ctx, shape, how.lanes);
  const auto expected = compute<T>(ctx, *alone, q, model::keep::everything);
  const auto plan = plan_lanes(q.tree, how.lanes);
  for (const int ranks : how.ranks) {
    std::mutex one_at_a_time;
    gradient_list<A> first;
    double worst = 0;
    comm::on_threads(
        ranks,
        [&](comm::threads& c) {
          cpu::context own;
          const auto policy = make_decoder<T>(own, shape, how.lanes);
          policy->split_rows(comm::any(c), how.attention);
          for (std::size_t k = 0; k < std::size(every_keep); ++k) {
            const auto cuts = k % 2 == 0 ? std::vector<unit_range>{plan.all()} : plan.split(100);
            const auto got = compute<T>(own, *policy, q, every_keep[k], cuts);
            const std::lock_guard lock(one_at_a_time);
            EXPECT_TRUE(same_bits(got.logp, expected.logp)) << ranks << " ranks";
            EXPECT_TRUE(same_bits(got.entropy, expected.entropy)) << ranks << " ranks";
            if (first.empty()) first = got.gradient;
            EXPECT_EQ(different_bits<T>(*policy, first, got.gradient), "")
                << "rank " << c.rank() << " of " << ranks << ", keep " << k;
            worst = std::max(worst, largest_difference(expected.gradient, got.gradient));
          }
          // alone again
          policy->split_rows(std::nullopt);
          const auto got = gradients_of<T>(own, *policy, q);
          const std::lock_guard lock(one_at_a_time);
          EXPECT_EQ(different_bits<T>(*policy, expected.gradient, got), "");
        },
        120);
    std::cout << scalar_name<T> << ", " << ranks << " ranks: gradients differ by " << worst << std::endl;
    EXPECT_LE(worst, how.tolerance) << ranks << " ranks";
  }
}

constexpr lane_options small_units{.lanes = 3, .unit_tokens = 90};

TEST(ContextParallelThreads, FloatWithTwoAndThreeRanks) { split<float>(1, {{2, 3}, small_units, 1e-5}); }
TEST(ContextParallelThreads, FloatWithFourAndEightRanks) { split<float>(2, {{4, 8}, {}, 1e-5}); }
TEST(ContextParallelThreads, FloatWithBiasesAndOneLane) {
  split<float>(3, {{3}, {.lanes = 1, .unit_tokens = 64}, 1e-5});
}
TEST(ContextParallelThreads, Double) { split<double>(4, {{2, 8}, small_units, 1e-13}); }
// What enters a product is rounded to bf16: a sum that differs in its last bit may be rounded to the neighbour.
TEST(ContextParallelThreads, Bf16) { split<bf16>(5, {{2, 4}, small_units, 1e-4}); }
TEST(ContextParallelThreads, Bf16WithLargeUnits) { split<bf16>(6, {{3, 8}, {}, 1e-4}); }

constexpr auto by_heads = model::attention_split::heads;
TEST(ContextParallelThreads, FloatByHeads) { split<float>(1, {{2, 4}, small_units, 1e-5, by_heads}); }
TEST(ContextParallelThreads, FloatByHeadsWithBiasesAndOneLane) {
  split<float>(3, {{4}, {.lanes = 1, .unit_tokens = 64}, 1e-5, by_heads});
}
TEST(ContextParallelThreads, DoubleByHeads) { split<double>(4, {{2, 4}, {}, 1e-13, by_heads}); }
TEST(ContextParallelThreads, Bf16ByHeads) { split<bf16>(5, {{2, 4}, small_units, 1e-4, by_heads}); }

// The work is dealt evenly and early rows meet late ones: the largest share of rows and of visible pairs.
TEST(ContextParallelThreads, MemoryOfALongTreeIsShared) {
  token_tree tree;
  dice d(7);
  tree.add_root(d.ids(4096, vocabulary), role::action, true);
  const auto peak = [&](int ranks) {
    std::mutex one_at_a_time;
    std::size_t most = 0;
    comm::on_threads(
        ranks,
        [&](comm::threads& c) {
          cpu::context ctx;
          auto shape = qwen3(vocabulary);
          shape.max_context = 8192;
          const auto policy = make_decoder<float>(ctx, shape);
          policy->split_rows(comm::any(c));
          policy->pool().reserve(64);
          std::vector<float> logp(4096), dlogp(4096, 1.0f);
          zero_gradients<float>(ctx, *policy);
          const auto before = ctx.bytes_in_use();
          ctx.reset_peak();
          auto tape = policy->score(ctx, tree, plan_lanes(tree), plan_lanes(tree).all(), {}, {logp, {}});
          const auto kept = ctx.bytes_in_use() - before;
          policy->backward(ctx, tape, {dlogp, {}});
          finish_gradients<float>(ctx, *policy);
          const std::lock_guard lock(one_at_a_time);
          most = std::max(most, static_cast<std::size_t>(kept));
        },
        120);
    return static_cast<double>(most);
  };
  const double one = peak(1), four = peak(4);
  std::cout << "kept for backward: " << one / 1048576 << " MiB with one rank, " << four / 1048576 << " with four\n";
  EXPECT_LE(four, 0.27 * one);
}

// Two ranks with two of four key heads each hold half of the keys.
TEST(ContextParallelThreads, KeysAreSharedByHeads) {
  token_tree tree;
  dice d(7);
  tree.add_root(d.ids(4096, vocabulary), role::action, true);
  const auto keys = [&](model::attention_split how) {
    std::vector<std::int64_t> bytes(2);
    comm::on_threads(2, [&](comm::threads& c) {
      cpu::context ctx;
      auto shape = qwen3(vocabulary);
      shape.max_context = 8192, shape.heads = 8, shape.kv_heads = 4;
      const auto policy = make_decoder<float>(ctx, shape);
      policy->split_rows(comm::any(c), how);
      std::vector<float> logp(4096);
      const auto tape = policy->score(ctx, tree, plan_lanes(tree), plan_lanes(tree).all(), {}, {logp, {}});
      bytes[static_cast<std::size_t>(c.rank())] = policy->key_bytes();
    });
    return bytes;
  };
  const auto all = keys(model::attention_split::keys), half = keys(by_heads);
  EXPECT_GT(all[0], 4096 * 2 * 2 * 4 * 10 * 4);  // tokens, layers, keys and values, heads, head size, bytes
  EXPECT_EQ(half[0] * 2, all[0]);
  EXPECT_EQ(half[1] * 2, all[1]);
}

TEST(ContextParallelThreads, HeadsThatRanksDoNotDivideAreRefused) {
  comm::on_threads(3, [&](comm::threads& c) {
    cpu::context ctx;
    const auto policy = make_decoder<float>(ctx, qwen3(vocabulary));
    try {
      policy->split_rows(comm::any(c), by_heads);
      ADD_FAILURE() << "not told";
    } catch (const argument_error& e) {
      EXPECT_NE(std::string(e.what()).find("a divisor of the 2 key-value heads, or attention_split::keys, got 3"),
                std::string::npos)
          << e.what();
    }
    EXPECT_FALSE(policy->splits_rows());
  });
}

TEST(ContextParallelThreads, RanksThatScoreDifferentTreesAreTold) {
  dice d(8);
  const auto tree = forest(d), other = forest(d);
  comm::on_threads(2, [&](comm::threads& c) {
    cpu::context ctx;
    const auto policy = make_decoder<float>(ctx, qwen3(vocabulary));
    policy->split_rows(comm::any(c));
    const auto& mine = c.rank() == 0 ? tree : other;
    try {
      policy->score(ctx, mine, plan_lanes(mine), plan_lanes(mine).all(), {}, {});
      ADD_FAILURE() << "not told";
    } catch (const comm::comm_error& e) {
      EXPECT_EQ(e.rank(), 1);
      EXPECT_NE(std::string(e.what()).find("the tree and units"), std::string::npos) << e.what();
    }
  });
}

TEST(ContextParallelThreads, ATapeIsGoodForTheSplitItWasMadeWith) {
  dice d(9);
  const auto tree = forest(d);
  comm::on_threads(2, [&](comm::threads& c) {
    cpu::context ctx;
    const auto policy = make_decoder<float>(ctx, qwen3(vocabulary));
    policy->split_rows(comm::any(c));
    auto tape = policy->score(ctx, tree, plan_lanes(tree), plan_lanes(tree).all(), {}, {});
    const std::vector<float> dlogp(static_cast<std::size_t>(tree.tokens()));
    policy->split_rows(comm::any(c), by_heads);
    EXPECT_THROW(policy->backward(ctx, tape, {dlogp, {}}), state_error);
    policy->split_rows(std::nullopt);
    EXPECT_THROW(policy->backward(ctx, tape, {dlogp, {}}), state_error);
  });
}

}  // namespace
