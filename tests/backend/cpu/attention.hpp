// SPDX-License-Identifier: Apache-2.0
#pragma once

// Attention over trees: the row rule, bit for bit.
#include "backend/cpu/attention_batch.hpp"
#include "support/numbers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ql::test::attention {

using ql::accumulate_t;
using ql::attention_shape;
using ql::token_tree;
using ql::cpu::context;
using ql::test::attention_batch;
using ql::test::difference;
using ql::test::numbers;

template <class T>
class Attention : public testing::Test {};
template <class T>
class AttentionThreads : public testing::Test {};
TYPED_TEST_SUITE_P(Attention);
TYPED_TEST_SUITE_P(AttentionThreads);

template <class T>
std::vector<accumulate_t<T>> inputs(const attention_shape& s, std::int64_t rows, std::uint64_t seed) {
  numbers r(seed);
  return ql::test::normals<accumulate_t<T>>(r, rows * s.qkv_columns());
}

// forward(tree) == forward(the same paths as independent sequences), bit for bit.
TYPED_TEST_P(Attention, TreeEqualsReplicatedSequences) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  const attention_shape shape{4, 2, 16};
  context ctx;
  numbers r(2);
  const auto tree = ql::test::branching_tree(r);
  const auto flat = ql::flatten(tree);
  attention_batch<T> b(ctx, shape, tree, true), f(ctx, shape, flat.tree, true);
  const auto qkv = inputs<T>(shape, b.rows, 8);
  const auto columns = static_cast<std::size_t>(shape.qkv_columns());
  std::vector<A> flat_qkv;
  for (auto source : flat.source)
    flat_qkv.insert(flat_qkv.end(), qkv.begin() + source * shape.qkv_columns(),
                    qkv.begin() + (source + 1) * shape.qkv_columns());
  ASSERT_EQ(flat_qkv.size(), flat.source.size() * columns);
  b.forward(qkv);
  f.forward(flat_qkv);
  const auto wide_row = static_cast<std::size_t>(shape.heads * shape.head_dim),
             heads = static_cast<std::size_t>(shape.heads);
  for (std::size_t i = 0; i < flat.source.size(); ++i) {
    const auto at = static_cast<std::size_t>(flat.source[i]);
    ASSERT_EQ(difference(std::span<const T>(f.out).subspan(i * wide_row, wide_row),
                         std::span<const T>(b.out).subspan(at * wide_row, wide_row)),
              "")
        << "flat row " << i;
    ASSERT_EQ(difference(std::span<const A>(f.lse).subspan(i * heads, heads),
                         std::span<const A>(b.lse).subspan(at * heads, heads)),
              "");
  }
}

// The same path cut into segments anywhere.
TYPED_TEST_P(Attention, CutsOfAPathChangeNothing) {
  using T = TypeParam;
  const attention_shape shape{2, 1, 12};
  context ctx;
  const std::vector<ql::token> ids(150, 1);
  token_tree whole;
  whole.add_root(ids);
  attention_batch<T> w(ctx, shape, whole, false);
  const auto qkv = inputs<T>(shape, 150, 9);
  w.forward(qkv);
  numbers r(3);
  for (int i = 0; i < 12; ++i) {
    token_tree cut;
    auto last = cut.add_root(std::span(ids).first(static_cast<std::size_t>(r.below(80))));
    while (cut.tokens() < 150)
      last = cut.add(last, std::span(ids).first(
                               static_cast<std::size_t>(std::min<std::int64_t>(150 - cut.tokens(), r.below(50)))));
    attention_batch<T> c(ctx, shape, cut, false);
    c.forward(qkv);
    ASSERT_EQ(difference(c.out, w.out), "") << i;
    ASSERT_EQ(difference(c.lse, w.lse), "") << i;
  }
}

// Decoding: the last token of every leaf in one run, sharing the pages of the prompt, equals the tokens of training.
TYPED_TEST_P(Attention, OneTokenOfEachOfSeveralPaths) {
  using T = TypeParam;
  const attention_shape shape{4, 2, 16};
  context ctx;
  token_tree tree;
  const auto root = tree.add_root(std::vector<ql::token>(140, 1));
  for (std::int64_t n : {1, 3, 40, 70, 128}) tree.add(root, std::vector<ql::token>(static_cast<std::size_t>(n), 2));
  attention_batch<T> b(ctx, shape, tree, true);
  b.forward(inputs<T>(shape, b.rows, 10));
  const auto width = shape.heads * shape.head_dim;
  std::vector<T> q, expected;
  std::vector<accumulate_t<T>> lse, elogs;
  std::vector<std::int64_t> position, path;
  for (std::int32_t s = 1; s < 6; ++s) {
    const auto row = tree[s].first + tree[s].count - 1;
    q.insert(q.end(), b.q.begin() + row * width, b.q.begin() + (row + 1) * width);
    expected.insert(expected.end(), b.out.begin() + row * width, b.out.begin() + (row + 1) * width);
    elogs.insert(elogs.end(), b.lse.begin() + row * shape.heads, b.lse.begin() + (row + 1) * shape.heads);
    position.push_back(b.position[static_cast<std::size_t>(row)]);
    path.push_back(b.path[static_cast<std::size_t>(row)]);
  }
  for (const std::int32_t shared : {0, 1, 2}) {  // 140 tokens: two whole blocks are the prompt's
    const ql::query_run run{0, 5, shared};
    std::vector<T> out(q.size());
    lse.assign(elogs.size(), 0);
    auto a = b.attending();
    a.places = {5, {&run, 1}, position.data(), path.data(), b.path_pages.data()};
    a.q = q.data();
    a.out = out.data();
    a.lse = lse.data();
    b.attend(a);
    EXPECT_EQ(difference(out, expected), "") << shared;
    EXPECT_EQ(difference(lse, elogs), "") << shared;
  }
}

TYPED_TEST_P(AttentionThreads, AnyNumberOfThreadsGivesTheSameBits) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  const attention_shape shape{4, 2, 16};
  numbers r(4);
  const auto tree = ql::test::branching_tree(r);
  std::vector<T> out;
  std::vector<A> dqkv, dq_norm, dk_norm;
  for (const int threads : {1, 2, 4}) {
    context ctx{{.threads = threads}};
    attention_batch<T> b(ctx, shape, tree, true);
    const auto qkv = inputs<T>(shape, b.rows, 11), dout = inputs<T>({4, 0, 16}, b.rows, 12);
    b.forward(qkv);
    const auto g = b.backward(qkv, dout);
    if (threads == 1) out = b.out, dqkv = g.qkv, dq_norm = g.q_norm, dk_norm = g.k_norm;
    EXPECT_EQ(difference(b.out, out), "") << threads;
    EXPECT_EQ(difference(g.qkv, dqkv), "") << threads;
    EXPECT_EQ(difference(g.q_norm, dq_norm), "") << threads;
    EXPECT_EQ(difference(g.k_norm, dk_norm), "") << threads;
  }
}

REGISTER_TYPED_TEST_SUITE_P(Attention, TreeEqualsReplicatedSequences, CutsOfAPathChangeNothing,
                            OneTokenOfEachOfSeveralPaths);
REGISTER_TYPED_TEST_SUITE_P(AttentionThreads, AnyNumberOfThreadsGivesTheSameBits);

}  // namespace ql::test::attention
