// SPDX-License-Identifier: Apache-2.0
// Ranks that own whole lanes: loss, gradients and weights have the same bits for any number of ranks.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/comm/threads.hpp>
#include <ql/data_parallel.hpp>
#include <ql/rl/policy_loss.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "model/support/instances.hpp"
#include "model/support/shapes.hpp"
#include "support/random_tree.hpp"

using namespace ql;
using namespace ql::test;

namespace {

constexpr std::int64_t vocabulary = 45;
constexpr lane_options eight{.lanes = 8, .unit_tokens = 90};

// Groups of answers under prompts of their own; the first is cut into units: a GRPO batch.
token_tree groups(std::uint64_t seed, int roots) {
  dice d(seed);
  token_tree t;
  for (int g = 0; g < roots; ++g) {
    const auto root = t.add_root(d.ids(g == 0 ? 130 : d.between(5, 40), vocabulary));
    for (int i = 0; i < 4; ++i) t.add(root, d.ids(d.between(3, 30), vocabulary));
  }
  return t;
}

struct outcome {
  double loss = 0, norm = 0;
  std::vector<float> logp, gradient, weights;
};
template <class X>
bool same_bits(const std::vector<X>& a, const std::vector<X>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(X)) == 0);
}
std::string difference(const outcome& a, const outcome& b) {
  if (std::memcmp(&a.loss, &b.loss, sizeof(double)) != 0) return "loss";
  if (std::memcmp(&a.norm, &b.norm, sizeof(double)) != 0) return "gradient norm";
  if (!same_bits(a.logp, b.logp)) return "log-probs";
  if (!same_bits(a.gradient, b.gradient)) return "gradients";
  return same_bits(a.weights, b.weights) ? "" : "weights";
}

enum class mode { replicated, zero1 };

// Three GRPO steps on given tokens: score own lanes, share log-probs, the whole loss on every rank, backward of own
// lanes in micro-batches of `micro` tokens, update.
template <class T, class C>
outcome train(C& c, mode how, const token_tree& tree, model::keep keep, std::int64_t micro, int threads = 1) {
  cpu::context ctx({.threads = threads});
  const auto policy = make_decoder<T>(ctx, qwen3(vocabulary), eight);
  const auto plan = plan_lanes(tree, eight);
  const rl::adamw opt{.weight_decay = 0.01};
  auto whole = make_optimizer_state(ctx, *policy, opt);
  auto sharded = make_sharded_optimizer_state(*policy, opt, c);
  const tree_sequences seq(tree);
  const auto sequences = seq.offsets.size() - 1;
  std::vector<float> advantage(sequences, 0);
  for (std::size_t s = 0; s < sequences; ++s)
    if (tree[static_cast<std::int32_t>(s)].parent >= 0) advantage[s] = static_cast<float>(s % 5) - 2.0f;
  const std::vector<std::int64_t> prompts{0, static_cast<std::int64_t>(sequences)};
  const auto n = static_cast<std::size_t>(tree.tokens());
  outcome out;
  std::vector<float> old;
  for (int step = 0; step < 3; ++step) {
    out.logp.assign(n, 0);
    options_of<T> look;
    look.backward = false;
    for (const auto lane : lanes_of(plan, c.rank(), c.size()))
      policy->score(ctx, tree, plan, lane, look, {out.logp, {}});
    share_scores<float>(c, tree, plan, out.logp);
    if (step == 0) old = out.logp;
    std::vector<float> dlogp(n, 0), dentropy(n, 0), again(n, 0);
    rl::token_batch<float> b;
    b.offsets = seq.offsets, b.prompts = prompts, b.mask = seq.mask;
    b.logp = out.logp, b.old = old;
    b.sequence_advantage = advantage;
    out.loss = rl::apply_loss(rl::clip_higher, b, rl::token_mean{}, {dlogp, dentropy}).value;
    parallel_gradients(ctx, *policy, c, plan, [&](unit_range lane) {
      for (const auto r : plan.split(micro)) {
        const auto first = std::max(r.first, lane.first), last = std::min(r.first + r.count, lane.first + lane.count);
        if (first >= last) continue;
        options_of<T> o;
        o.keep = keep;
        auto tape = policy->score(ctx, tree, plan, {first, last - first}, o, {again, {}});
        policy->backward(ctx, tape, {dlogp, {}});
      }
    });
    const auto done = how == mode::zero1 ? update_policy(ctx, *policy, c, opt, sharded, 1e-2, 0.5)
                                         : update_policy(ctx, *policy, opt, whole, 1e-2, 0.5);
    EXPECT_TRUE(done.applied);
    out.norm = done.gradient_norm;
  }
  for (const auto& p : policy->parameters()) {
    out.gradient.insert(out.gradient.end(), p.gradient.data(), p.gradient.data() + p.size());
    out.weights.insert(out.weights.end(), p.master.data(), p.master.data() + p.size());
  }
  return out;
}

template <class T>
void any_number_of_ranks(std::uint64_t seed, int roots) {
  const auto tree = groups(seed, roots);
  comm::solo alone;
  const auto expected = train<T>(alone, mode::replicated, tree, model::keep::everything, 1 << 20, 2);
  EXPECT_NE(expected.loss, 0);
  EXPECT_GT(expected.norm, 0);
  EXPECT_EQ(difference(train<T>(alone, mode::zero1, tree, model::keep::inputs, 60), expected), "");
  for (const int ranks : {2, 4, 8})
    for (const auto how : {mode::replicated, mode::zero1}) {
      std::mutex one_at_a_time;
      comm::on_threads(
          ranks,
          [&](comm::threads& c) {
            const auto got =
                train<T>(c, how, tree, how == mode::zero1 ? model::keep::nothing : model::keep::inputs, 60);
            const std::lock_guard lock(one_at_a_time);
            EXPECT_EQ(difference(got, expected), "") << ranks << " ranks, rank " << c.rank();
          },
          120);
    }
}

TEST(DataParallelThreads, SameBitsOnAnyNumberOfRanks) { any_number_of_ranks<float>(1, 11); }
TEST(DataParallelThreads, SameBitsInBf16) { any_number_of_ranks<bf16>(2, 9); }
TEST(DataParallelThreads, MoreRanksThanLanesWithWork) { any_number_of_ranks<float>(3, 3); }

// One process that knows nothing of ranks: zero, backward over the whole plan, finish, update.
TEST(DataParallelThreads, TheBitsAreThoseOfTheLibraryWithoutRanks) {
  const auto tree = groups(5, 9);
  cpu::context ctx;
  const auto policy = make_decoder<float>(ctx, qwen3(vocabulary), eight);
  const auto n = static_cast<std::size_t>(tree.tokens());
  dice d(6);
  const auto dlogp = d.reals<float>(tree.tokens());
  std::vector<float> logp(n, 0);
  zero_gradients<float>(ctx, *policy);
  auto tape = policy->score(ctx, tree, plan_lanes(tree, eight), plan_lanes(tree, eight).all(), {}, {logp, {}});
  policy->backward(ctx, tape, {dlogp, {}});
  finish_gradients<float>(ctx, *policy);
  std::vector<std::vector<float>> expected;
  for (const auto& p : policy->parameters()) expected.emplace_back(p.gradient.data(), p.gradient.data() + p.size());
  comm::on_threads(
      3,
      [&](comm::threads& c) {
        cpu::context own;
        const auto mine = make_decoder<float>(own, qwen3(vocabulary), eight);
        const auto plan = plan_lanes(tree, eight);
        std::vector<float> scratch(n, 0);
        parallel_gradients(own, *mine, c, plan, [&](unit_range lane) {
          auto t = mine->score(own, tree, plan, lane, {}, {scratch, {}});
          mine->backward(own, t, {dlogp, {}});
        });
        for (std::size_t i = 0; i < expected.size(); ++i) {
          const auto& g = mine->parameters()[i].gradient;
          EXPECT_EQ(std::memcmp(g.data(), expected[i].data(), expected[i].size() * sizeof(float)), 0)
              << mine->parameters()[i].name;
        }
      },
      120);
}

TEST(DataParallel, LanesAreDealtInTurn) {
  const auto plan = plan_lanes(groups(4, 11), eight);
  const auto all = lanes_of(plan);
  ASSERT_EQ(all.size(), 8u);
  std::size_t units = 0;
  for (std::size_t k = 0; k < all.size(); ++k) {
    units += static_cast<std::size_t>(all[k].count);
    for (auto u = all[k].first; u < all[k].first + all[k].count; ++u)
      EXPECT_EQ(plan.units[static_cast<std::size_t>(u)].lane, static_cast<std::int32_t>(k));
  }
  EXPECT_EQ(units, plan.units.size());
  for (int r = 0; r < 3; ++r) {
    const auto own = lanes_of(plan, r, 3);
    ASSERT_EQ(own.size(), r < 2 ? 3u : 2u);
    for (std::size_t k = 0; k < own.size(); ++k)
      EXPECT_EQ(own[k].first, all[k * 3 + static_cast<std::size_t>(r)].first);
  }
}

TEST(DataParallelThreads, OptimizerMemoryIsGatheredAndSharedAnew) {
  using state = sharded_optimizer_state<decoder_of<float>, rl::adamw>;
  const rl::adamw opt;
  state whole;
  comm::on_threads(3, [&](comm::threads& c) {
    cpu::context ctx;
    const auto policy = make_decoder<float>(ctx, qwen3(vocabulary), eight);
    auto s = make_sharded_optimizer_state(*policy, opt, c);
    for (std::size_t i = 0; i < s.first.size(); ++i) {
      s.first[i] = static_cast<float>(s.own.begin) + static_cast<float>(i);
      s.second[i] = -s.first[i];
    }
    s.steps = 7;
    auto all = gather(c, s);
    EXPECT_EQ(shard(c, all), s);
    if (c.rank() == 1) whole = std::move(all);
  });
  EXPECT_EQ(whole.steps, 7);
  EXPECT_EQ(whole.own, (comm::share_range{0, whole.elements}));
  ASSERT_EQ(static_cast<std::int64_t>(whole.first.size()), whole.elements);
  for (std::size_t i = 0; i < whole.first.size(); ++i) ASSERT_EQ(whole.first[i], static_cast<float>(i));
  // another number of ranks goes on from it
  comm::on_threads(2, [&](comm::threads& c) {
    const auto s = shard(c, whole);
    EXPECT_EQ(s.own, comm::share_of(whole.elements, c.rank(), 2));
    EXPECT_EQ(gather(c, s), whole);
    cpu::context ctx;
    const auto policy = make_decoder<float>(ctx, qwen3(vocabulary), eight);
    auto other = s;
    other.own.begin += 1;
    EXPECT_THROW(update_policy(ctx, *policy, c, opt, other, 0.1), state_error);
  });
}

}  // namespace
