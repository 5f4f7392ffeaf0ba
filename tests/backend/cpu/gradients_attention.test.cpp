// SPDX-License-Identifier: Apache-2.0
// Finite differences in double through rotation (with and without norms of queries and keys) and attention over trees.
#include "backend/cpu/attention_batch.hpp"
#include "support/gradient.hpp"
#include "support/numbers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

using ql::attention_shape;
using ql::token_tree;
using ql::cpu::context;
using ql::test::attention_batch;
using ql::test::gradient_error;
using ql::test::normals;
using ql::test::numbers;

void check(const token_tree& tree, const attention_shape& shape, bool norm) {
  context ctx;
  attention_batch<double> b(ctx, shape, tree, norm);
  numbers r(6);
  auto qkv = normals<double>(r, b.rows * shape.qkv_columns());
  const auto dout = normals<double>(r, b.rows * shape.heads * shape.head_dim);
  const auto loss = [&] {
    b.forward(qkv);
    return ql::test::weighted(b.out, dout);
  };
  (void)loss();
  const auto g = b.backward(qkv, dout);
  EXPECT_EQ(gradient_error(qkv, g.qkv, loss, 150), "")
      << shape.heads << " heads of " << shape.head_dim << " norm " << norm;
  if (norm) {
    EXPECT_EQ(gradient_error(b.q_norm, g.q_norm, loss), "");
    EXPECT_EQ(gradient_error(b.k_norm, g.k_norm, loss), "");
  }
}

TEST(AttentionGradients, TreesWithBranchesInsideABlock) {
  numbers r(1);
  const auto tree = ql::test::branching_tree(r);
  check(tree, {4, 2, 10}, false);
  check(tree, {2, 1, 8}, true);
}

TEST(AttentionGradients, ASequenceAndHeadsWiderThanAPanel) {
  token_tree tree;
  tree.add_root(std::vector<ql::token>(67, 1));
  check(tree, {2, 2, 36}, false);
  check(tree, {3, 1, 36}, true);
}

TEST(AttentionGradients, OneToken) {
  token_tree tree;
  tree.add_root({1});
  context ctx;
  attention_batch<double> b(ctx, {1, 1, 4}, tree, false);
  const std::vector<double> qkv{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, dout{1, -1, 2, 3};
  b.forward(qkv);
  EXPECT_EQ(b.out, (std::vector<double>{9, 10, 11, 12})) << "it sees itself alone";
  const auto g = b.backward(qkv, dout);
  for (std::size_t i = 0; i < 8; ++i) EXPECT_NEAR(g.qkv[i], 0, 1e-12) << "neither query nor key matters";
  EXPECT_EQ(std::vector<double>(g.qkv.begin() + 8, g.qkv.end()), dout);
}

// The gradient of a tree is the sum of the gradients of its replicated sequences.
TEST(AttentionGradients, TreeEqualsTheSumOverSequences) {
  const attention_shape shape{4, 2, 10};
  numbers r(3);
  const auto tree = ql::test::branching_tree(r);
  const auto flat = ql::flatten(tree);
  context ctx;
  attention_batch<double> b(ctx, shape, tree, true), f(ctx, shape, flat.tree, true);
  const auto qkv = normals<double>(r, b.rows * shape.qkv_columns());
  auto dout = normals<double>(r, b.rows * shape.heads * shape.head_dim);
  std::vector<double> flat_qkv, flat_dout;
  std::vector<char> seen(static_cast<std::size_t>(b.rows));
  const auto width = shape.heads * shape.head_dim;
  for (auto s : flat.source) {
    flat_qkv.insert(flat_qkv.end(), qkv.begin() + s * shape.qkv_columns(), qkv.begin() + (s + 1) * shape.qkv_columns());
    // the loss of a shared token counts once
    auto& once = seen[static_cast<std::size_t>(s)];
    for (std::int64_t i = 0; i < width; ++i)
      flat_dout.push_back(once != 0 ? 0.0 : dout[static_cast<std::size_t>(s * width + i)]);
    once = 1;
  }
  b.forward(qkv);
  f.forward(flat_qkv);
  const auto g = b.backward(qkv, dout), h = f.backward(flat_qkv, flat_dout);
  std::vector<double> sum(g.qkv.size());
  const auto columns = static_cast<std::size_t>(shape.qkv_columns());
  for (std::size_t i = 0; i < flat.source.size(); ++i)
    for (std::size_t c = 0; c < columns; ++c)
      sum[static_cast<std::size_t>(flat.source[i]) * columns + c] += h.qkv[i * columns + c];
  double largest = 0, worst = 0;
  for (std::size_t i = 0; i < sum.size(); ++i)
    largest = std::max(largest, std::fabs(sum[i])), worst = std::max(worst, std::fabs(sum[i] - g.qkv[i]));
  EXPECT_LE(worst, 1e-12 * largest);
  for (std::size_t i = 0; i < g.q_norm.size(); ++i) {
    EXPECT_NEAR(g.q_norm[i], h.q_norm[i], 1e-12 * (1 + std::fabs(h.q_norm[i])) * 10);
    EXPECT_NEAR(g.k_norm[i], h.k_norm[i], 1e-12 * (1 + std::fabs(h.k_norm[i])) * 10);
  }
}

}  // namespace
