// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/fast.hpp>
#include <ql/model/decoder.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace {

using namespace ql;

template <class Context>
std::vector<double> gradients() {
  Context ctx;
  model::decoder_config c;
  c.vocabulary = 50, c.hidden = 32, c.layers = 1, c.heads = 4, c.kv_heads = 2, c.ffn = 48, c.qkv_bias = true;
  model::decoder<float, Context> policy(ctx, c);
  policy.initialise(ctx, 1, 0.2);
  token_tree tree;
  std::vector<token> ids(70);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<token>(i * 7 % 50);
  tree.add_root(ids, role::action, true);
  std::vector<float> logp(ids.size()), dlogp(ids.size(), 1);
  policy.zero_gradients(ctx);
  auto tape = policy.score(ctx, tree, {}, {logp, {}});
  policy.backward(ctx, tape, {dlogp, {}});
  policy.finish_gradients(ctx);
  std::vector<double> all(logp.begin(), logp.end());
  for (const auto& p : policy.parameters()) all.insert(all.end(), p.gradient.data(), p.gradient.data() + p.size());
  return all;
}

TEST(FastMode, IsDeclaredInexact) {
  EXPECT_EQ((model::decoder<float, cpu::context>::exactness), exactness::exact);
  EXPECT_EQ((model::decoder<float, cpu::fast_context>::exactness), exactness::inexact);
}

TEST(FastMode, AgreesWithTheExactKernels) {
  const auto exact = gradients<cpu::context>(), fast = gradients<cpu::fast_context>();
  ASSERT_EQ(exact.size(), fast.size());
  double largest = 0, difference = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    largest = std::max(largest, std::abs(exact[i]));
    difference = std::max(difference, std::abs(exact[i] - fast[i]));
  }
  EXPECT_LE(difference, 2e-5 * largest);
  EXPECT_NE(exact, fast) << "Eigen's products were not used";
}

}  // namespace
