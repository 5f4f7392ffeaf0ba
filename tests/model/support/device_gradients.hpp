// SPDX-License-Identifier: Apache-2.0
#pragma once

// The decoder over the emulated CUDA device against the CPU's.

#include "model/support/device_policy.hpp"
#include "model/support/gradient.hpp"

#include <gtest/gtest.h>

namespace ql::test {

// How far the device may be from the CPU: absolute for log-probs, relative to the norm for gradients.
// About five times what is seen. bf16 rounds intermediate values that the matrix unit's order moves by an ulp.
template <class T>
struct device_bounds {
  static constexpr double logp = 2e-5, entropy = 2e-5, gradient = 1e-5;
};
template <>
struct device_bounds<bf16> {
  static constexpr double logp = 1e-2, entropy = 5e-3, gradient = 3e-2;
};

template <class A>
double relative_distance(const std::vector<A>& got, const A* expected) {
  double apart = 0, size = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double e = static_cast<double>(expected[i]), d = static_cast<double>(got[i]) - e;
    apart += d * d;
    size += e * e;
  }
  return std::sqrt(apart / (size + 1e-30));
}

template <class T>
class CudaDecoderGradients : public testing::Test {};
TYPED_TEST_SUITE_P(CudaDecoderGradients);

// Scores, gradients and one step of AdamW; with races looked for, and once with threads and blocks in reverse.
TYPED_TEST_P(CudaDecoderGradients, AgreeWithTheCpuInAnyOrderOfThreads) {
  using A = accumulate_t<TypeParam>;
  using bounds = device_bounds<TypeParam>;
  cpu::context ctx;
  const auto policy = make_decoder<TypeParam>(ctx, qwen3(140), {.unit_tokens = 128});
  dice r(3);
  const auto q = random_demand<A>(r, random_forest(r, 140, {.roots = 2, .segments = 5}), 140,
                                  {.temperature = 0.7, .top_k = 10, .rule = support_rule::frozen});
  const auto n = static_cast<std::size_t>(q.tree.tokens());
  std::vector<A> logp(n), entropy(n);
  zero_gradients(ctx, *policy);
  auto tape = policy->score(ctx, q.tree, {.distribution = q.dist, .support = q.kept()}, {logp, entropy});
  policy->backward(ctx, tape, {q.dlogp, q.dentropy});
  finish_gradients(ctx, *policy);
  std::vector<std::vector<A>> first;
  for (const bool backwards : {false, true}) {
    device_policy<TypeParam> device(*policy, {.check_races = true, .backwards = backwards});
    std::vector<A> dlogp(n), dentropy(n);
    device.score(q.tree, q.dist, q.kept(), model::keep::inputs_and_attention, dlogp, dentropy);
    double worst = 0, worst_entropy = 0;
    for (std::size_t i = 0; i < n; ++i) {
      worst = std::max(worst, static_cast<double>(std::fabs(logp[i] - dlogp[i])));
      worst_entropy = std::max(worst_entropy, static_cast<double>(std::fabs(entropy[i] - dentropy[i])));
    }
    EXPECT_LT(worst, bounds::logp);
    EXPECT_LT(worst_entropy, bounds::entropy);
    device.backward(q.dlogp, q.dentropy);
    EXPECT_TRUE(std::isfinite(device.gradient_norm()));
    EXPECT_GT(device.gradient_norm(), 0);
    for (std::size_t i = 0; i < policy->parameters().size(); ++i) {
      const auto& p = policy->parameters()[i];
      const auto g = device.gradient(i);
      EXPECT_LT(relative_distance(g, p.gradient.data()), bounds::gradient) << p.name;
      if (!backwards) {
        first.push_back(g);
      } else {
        EXPECT_EQ(std::memcmp(first[i].data(), g.data(), g.size() * sizeof(A)), 0) << p.name;
      }
    }
    const auto before = device.weights(0);
    EXPECT_TRUE(device.update(1e-2, 1.0));
    EXPECT_NE(before, device.weights(0));
  }
}

REGISTER_TYPED_TEST_SUITE_P(CudaDecoderGradients, AgreeWithTheCpuInAnyOrderOfThreads);

}  // namespace ql::test
