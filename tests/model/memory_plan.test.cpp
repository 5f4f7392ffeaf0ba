// SPDX-License-Identifier: Apache-2.0
// What is planned is what is held: the decoder on a backend that computes nothing against the one that computes.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/memory_plan.hpp>
#include <ql/rl/sampler.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "model/support/instances.hpp"
#include "model/support/shapes.hpp"
#include "support/random_tree.hpp"

namespace ql::test {
// instances/memory_plan_float.test.cpp, instances/memory_plan_bf16.test.cpp
template <class T>
memory_plan plan_of(const plan_request& q);
extern template memory_plan plan_of<float>(const plan_request&);
extern template memory_plan plan_of<bf16>(const plan_request&);
}  // namespace ql::test

using namespace ql;
using namespace ql::test;

namespace {

plan_request small(model::decoder_config shape, std::int64_t prompt, std::int64_t response, std::int32_t answers,
                   std::int64_t groups) {
  plan_request q;
  q.shape = shape;
  q.shape.max_context = 1 << 15;
  q.prompt_tokens = prompt, q.response_tokens = response, q.group_size = answers, q.groups = groups;
  return q;
}

// A session and an update of it as the trainer runs them; tensors and scratch at their most.
template <class T>
std::int64_t measured(const plan_request& q) {
  cpu::context ctx({.threads = q.threads});
  const auto policy = make_decoder<T>(ctx, q.shape, q.lanes);
  const rl::adamw opt;
  auto state = make_optimizer_state(ctx, *policy, opt);
  dice d(3);
  const auto vocabulary = q.shape.vocabulary;
  const auto each = q.prompt_tokens + q.group_size * q.response_tokens;
  {
    grower<T> session(ctx, *policy);
    const auto held = std::clamp<std::int64_t>(q.session_tokens / each, 1, q.groups);
    for (std::int64_t i = 0; i < held; ++i) {
      const auto root = session.add_root(d.ids(q.prompt_tokens, vocabulary));
      for (std::int32_t g = 0; g < q.group_size; ++g)
        session.add_leaf(root, q.response_tokens, {.seed = 1, .sample = static_cast<std::uint32_t>(g)});
    }
    rl::greedy sampler;
    while (session.step(any_sampler<accumulate_t<T>>(sampler), model::stop_tokens{{-1}}) > 0) {
    }
  }
  token_tree tree;
  for (std::int64_t i = 0; i < q.groups; ++i) {
    const auto root = tree.add_root(d.ids(q.prompt_tokens, vocabulary));
    for (std::int32_t g = 0; g < q.group_size; ++g) tree.add(root, d.ids(q.response_tokens, vocabulary));
  }
  std::vector<accumulate_t<T>> dlogp(static_cast<std::size_t>(tree.tokens()), 1);
  zero_gradients<T>(ctx, *policy);
  const auto plan = plan_lanes(tree, q.lanes);
  options_of<T> o;
  o.keep = q.keep;
  for (const auto range : plan.split(q.micro_batch_tokens)) {
    auto tape = policy->score(ctx, tree, plan, range, o, {});
    policy->backward(ctx, tape, {dlogp, {}});
  }
  finish_gradients<T>(ctx, *policy);
  EXPECT_TRUE(update_policy(ctx, *policy, opt, state, 1e-3, 1.0).applied);
  return ctx.peak_bytes() + ctx.scratch_bytes();
}

template <class T>
void matches(const char* what, const plan_request& q) {
  const auto plan = plan_of<T>(q);
  const auto real = static_cast<double>(measured<T>(q));
  const double off = static_cast<double>(plan.total()) / real - 1;
  std::cout << scalar_name<T> << ", " << what << ": planned " << static_cast<double>(plan.total()) / 1048576
            << " MiB, measured " << real / 1048576 << ", " << 100 * off << " %" << std::endl;
  EXPECT_LE(std::abs(off), 0.1) << what;
}

template <class T>
void matrix() {
  auto q = small(qwen3(300, 64, 3), 900, 100, 4, 3);
  for (const auto keep :
       {model::keep::everything, model::keep::inputs_and_attention, model::keep::inputs, model::keep::nothing}) {
    q.keep = keep;
    matches<T>("a long prompt", q);
  }
  q.micro_batch_tokens = 1000;
  matches<T>("small micro-batches", q);
  q = small(qwen2(2000, 48, 2), 100, 60, 8, 6);
  matches<T>("short groups that share units", q);
  q.threads = 3, q.session_tokens = 700;
  matches<T>("three threads, small sessions", q);
  q = small(llama(300, 96, 2), 1500, 30, 2, 2);
  q.lanes.lanes = 1;
  matches<T>("one lane", q);
}

TEST(MemoryPlan, WithinATenthOfWhatIsMeasuredInFloat) { matrix<float>(); }
TEST(MemoryPlan, WithinATenthOfWhatIsMeasuredInBf16) { matrix<bf16>(); }

TEST(MemoryPlan, RanksShareMemoryAndWork) {
  auto q = small(qwen3(300, 64, 3), 4000, 100, 4, 8);
  q.session_tokens = 1;
  const auto alone = plan_of<float>(q);
  q.ranks = 4;
  const auto lanes = plan_of<float>(q);
  EXPECT_EQ(lanes.weights, alone.weights);
  EXPECT_EQ(lanes.optimizer, alone.optimizer / 4);
  EXPECT_EQ(lanes.lanes, 0);
  EXPECT_GT(lanes.exchange, 0);
  EXPECT_NEAR(lanes.update.products / alone.update.products, 1, 0.01);
  q.how.update = update_split::rows;
  const auto rows = plan_of<float>(q);
  EXPECT_LT(static_cast<double>(rows.kept), 0.3 * static_cast<double>(alone.kept));
  EXPECT_EQ(rows.keys, alone.keys) << "keys are gathered";
  EXPECT_NEAR(rows.update.products / alone.update.products, 1, 0.05);
  q.ranks = 2;
  const auto gathered = plan_of<float>(q);
  q.how.update = update_split::heads;
  const auto heads = plan_of<float>(q);
  EXPECT_EQ(heads.kept, gathered.kept);
  EXPECT_NEAR(heads.update.products / alone.update.products, 1, 0.05);
  EXPECT_NEAR(heads.update.attention / alone.update.attention, 1, 0.05);
  q.ranks = 4;
  EXPECT_THROW(plan_of<float>(q), argument_error) << "two key-value heads";
}

// 2 floating-point operations a weight and token forward, 4 backward; (query, key) pairs of attention.
TEST(MemoryPlan, CountsTheWork) {
  const auto q = small(llama(300, 96, 2), 1000, 50, 4, 2);
  const auto plan = plan_of<float>(q);
  const double layer = 4.0 * 96 * 96 + 3.0 * 96 * 288, head = 300.0 * 96;
  const double rows = 2 * (1000 + 4 * 50), scored = 2 * 4 * 50;
  EXPECT_NEAR(plan.update.products / (2 * 3 * 2 * layer * rows + 2 * 4 * head * scored), 1, 0.02);
  EXPECT_NEAR(plan.prefill.products / (2 * 2 * layer * 2 * 1000), 1, 0.01);
  EXPECT_NEAR(plan.decode.products / (2 * (2 * layer + head) * 2 * 4 * 50), 1, 0.01);
  EXPECT_GT(plan.update.attention, 2.9 * plan.prefill.attention);
  EXPECT_EQ(plan.tokens_trained, rows);
}

TEST(MemoryPlan, ALongModelIsPlannedInNoMemory) {
  plan_request q;
  q.shape = {.vocabulary = 151'936,
             .hidden = 1536,
             .layers = 28,
             .heads = 12,
             .kv_heads = 2,
             .ffn = 8960,
             .qkv_bias = true,
             .tied_head = true,
             .rope = {}};
  q.shape.max_context = 1 << 17;
  q.prompt_tokens = 60'000, q.response_tokens = 4'000, q.groups = 2, q.keep = model::keep::inputs;
  const auto plan = plan_of<bf16>(q);
  EXPECT_NEAR(static_cast<double>(plan.weights), 1.5437e9 * 4, 0.01e9);
  EXPECT_NEAR(static_cast<double>(plan.kept), 92'000.0 * (29 * 1536 * 4), 0.2e9) << "layer inputs and the last";
  EXPECT_GT(plan.total(), std::int64_t{30} << 30);
}

// Every query of a tree sees its path: the closed form of the counts that runs of rows add up to.
TEST(MemoryPlan, CountsThePairsThatAttentionComputes) {
  const auto q = small(llama(300, 96, 2), 1000, 50, 4, 2);
  token_tree tree;
  for (int i = 0; i < 2; ++i) {
    const auto root = tree.add_root(std::vector<token>(1000, 1));
    for (int g = 0; g < 4; ++g) tree.add(root, std::vector<token>(50, 1));
  }
  const double forward = 4, backward = 10, width = 2 * 96;  // layers x heads x head size
  EXPECT_EQ(plan_of<float>(q).update.attention,
            (forward + backward) * width * static_cast<double>(tree.visible_pairs()));
}

// Micro-batches that are alike are walked once, groups beyond those that differ not at all.
TEST(MemoryPlan, WhatIsWalkedOnceHasTheBytesOfTheWholeWalk) {
  int cut = 0;
  for (const int ranks : {1, 4})
    for (const auto split : {update_split::lanes, update_split::rows, update_split::heads})
      for (const auto keep : {model::keep::everything, model::keep::nothing})
        for (int which = 0; which < 6; ++which) {
          auto q = small(qwen3(300, 64, 2), 900, 100, 4, 3);
          if (which == 1) q.groups = 40, q.micro_batch_tokens = 4000;                     // several trees each
          if (which == 2) q.groups = 19, q.micro_batch_tokens = 1000, q.lanes.lanes = 3;  // one tree each
          if (which == 3)
            q = small(qwen2(300, 48, 2), 37, 5, 2, 200), q.micro_batch_tokens = 700,  // trees share units
                q.lanes = {.lanes = 2, .unit_tokens = 300};
          if (which == 4) q.groups = 9, q.lanes.lanes = 1, q.response_tokens = 1;
          if (which == 5) q.groups = 30, q.lanes.lanes = 4, q.micro_batch_tokens = 1 << 20;  // a lane and more each
          q.ranks = ranks, q.how.update = split, q.keep = keep;
          if (split == update_split::heads) q.shape.heads = 8, q.shape.kv_heads = 4;
          auto all = q;
          all.whole = true;
          const auto a = plan_of<float>(q), b = plan_of<float>(all);
          const auto bytes = [](const memory_plan& p) {
            return std::vector<std::int64_t>{p.weights, p.copies, p.gradients, p.lanes,     p.optimizer, p.reference,
                                             p.keys,    p.kept,   p.backward,  p.workspace, p.exchange};
          };
          EXPECT_EQ(bytes(a), bytes(b)) << ranks << " ranks, case " << which;
          EXPECT_LE(a.looked_at, b.looked_at);
          cut += a.looked_at < b.looked_at ? 1 : 0;
          // of few pages a rank may have one more or less
          const double off = ranks > 1 && split != update_split::lanes ? 0.1 : 0.02;
          EXPECT_NEAR(a.update.products / b.update.products, 1, off) << ranks << " ranks, case " << which;
        }
  EXPECT_GE(cut, 20) << "most walks were as long as the whole";
}

// 32B parameters, prompts of 60K tokens, 8 answers of 10K, 128 of them a batch: however many there are and however
// ranks share them, planning looks at some million pieces of memory and runs of rows.
TEST(MemoryPlan, ThePapersScaleIsPlannedInBoundedWork) {
  plan_request q;
  q.shape = {.vocabulary = 152'064,
             .hidden = 5120,
             .layers = 64,
             .heads = 40,
             .kv_heads = 8,
             .ffn = 27'648,
             .qkv_bias = true,
             .rope = {}};
  q.shape.max_context = 1 << 17;
  q.prompt_tokens = 60'000, q.response_tokens = 10'000, q.groups = 128, q.generated = 512, q.threads = 2;
  q.keep = model::keep::inputs;
  const auto plan = plan_of<bf16>(q);
  EXPECT_LT(plan.looked_at, 3'000'000);
  EXPECT_NEAR(static_cast<double>(plan.weights), 32.764e9 * 4, 0.01e9);
  auto more = q;
  more.groups = 10'000;
  EXPECT_EQ(plan_of<bf16>(more).looked_at, plan.looked_at);
  EXPECT_EQ(plan_of<bf16>(more).total(), plan.total());
  for (const auto split : {update_split::lanes, update_split::rows, update_split::heads}) {
    const bool heads = split == update_split::heads;  // eight ranks, and each attends for the rows of all
    q.ranks = heads ? 8 : 64, q.how.update = split;
    EXPECT_LT(plan_of<bf16>(q).looked_at, heads ? 8 * 1'000'000 : 3'000'000);
  }
}

TEST(MemoryPlan, SaysWhatIsWrong) {
  auto q = small(qwen2(300), 1 << 15, 1, 1, 1);
  EXPECT_THROW(plan_of<float>(q), argument_error);
  q.prompt_tokens = 10, q.ranks = 0;
  EXPECT_THROW(plan_of<float>(q), argument_error);
}

}  // namespace
