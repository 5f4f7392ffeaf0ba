// SPDX-License-Identifier: Apache-2.0
// Memory of a training step grows with tokens, not with their square.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <iostream>

#include "model/support/instances.hpp"
#include "model/support/shapes.hpp"
#include "support/random_tree.hpp"
#include "support/sanitizers.hpp"

using namespace ql;
using namespace ql::test;

namespace {

// Bytes of tensors and scratch that a forward and backward over one sequence take above the weights and gradients.
double step_bytes(std::int64_t layers, std::int64_t tokens) {
  cpu::context ctx;
  auto shape = qwen3(300, 64, layers);
  shape.max_context = 1 << 17;
  const auto policy = make_decoder<bf16>(ctx, shape);
  zero_gradients<bf16>(ctx, *policy);
  dice d(1);
  token_tree tree;
  tree.add_root(d.ids(tokens, 300), role::action, true);
  std::vector<float> logp(static_cast<std::size_t>(tokens)), dlogp(logp.size(), 1.0f);
  options_of<bf16> o;
  o.keep = model::keep::inputs;
  ctx.reset_peak();
  const auto before = ctx.bytes_in_use() + ctx.scratch_bytes();
  auto tape = policy->score(ctx, tree, o, {logp, {}});
  policy->backward(ctx, tape, {dlogp, {}});
  finish_gradients<bf16>(ctx, *policy);
  return static_cast<double>(ctx.peak_bytes() + ctx.scratch_bytes() - before);
}

// Least-squares slope of log(bytes) over log(tokens).
void linear_in_tokens(std::int64_t layers, std::int64_t longest) {
  double n = 0, x = 0, y = 0, xx = 0, xy = 0, last = 0, last_slope = 0;
  for (std::int64_t tokens = 1024; tokens <= longest; tokens *= 2) {
    const double bytes = step_bytes(layers, tokens);
    const double u = std::log(static_cast<double>(tokens)), v = std::log(bytes);
    if (n > 0) last_slope = std::max(last_slope, std::log2(bytes / last));
    last = bytes;
    n += 1, x += u, y += v, xx += u * u, xy += u * v;
    std::cout << layers << " layers, " << tokens << " tokens: " << bytes / 1048576 << " MiB, "
              << bytes / static_cast<double>(tokens) << " bytes a token" << std::endl;
  }
  const double slope = (n * xy - x * y) / (n * xx - x * x);
  std::cout << layers << " layers: slope " << slope << ", steepest doubling " << last_slope << std::endl;
  EXPECT_LE(slope, 1.05);
}

std::int64_t longest([[maybe_unused]] std::int64_t in_full) {
#ifdef QL_TEST_SANITIZED
  return 4096;  // attention's work grows with the square, and instrumented builds look for other faults
#else
  return std::getenv("QL_TEST_FULL") != nullptr ? in_full : 16384;
#endif
}

}  // namespace

TEST(Memory, OfATrainingStepIsLinearWithOneLayer) { linear_in_tokens(1, longest(65536)); }
TEST(Memory, OfATrainingStepIsLinearWithTwoLayers) { linear_in_tokens(2, longest(16384)); }
