// SPDX-License-Identifier: Apache-2.0
#pragma once

// The decoder over the emulated CUDA device: the row rule among its own kernels, bit for bit.

#include "model/support/device_policy.hpp"
#include "model/support/row_rule.hpp"

#include <gtest/gtest.h>

namespace ql::test {

template <class T>
class CudaDecoder : public testing::Test {};
TYPED_TEST_SUITE_P(CudaDecoder);

// What a session records while it decodes is what training computes: for cuts of the prompt, kinds of tapes, and
// branches inside a block of keys.
TYPED_TEST_P(CudaDecoder, DecodedRowsAreTrainingRows) {
  using A = accumulate_t<TypeParam>;
  cpu::context ctx;
  for (const bool frozen : {false, true}) {
    const auto policy = make_decoder<TypeParam>(ctx, frozen ? qwen3(70, 32, 1) : qwen2(530));
    device_policy<TypeParam> device(*policy, {});
    const distribution d = frozen ? distribution{.temperature = 0.8, .top_k = 7, .rule = support_rule::frozen}
                                  : distribution{.temperature = 0.8};
    dice r(5);
    const auto prompt = r.ids(frozen ? 64 : 75, policy->vocab_size());
    rl::stochastic sampler(d);
    const std::int64_t capacities[] = {3, 60, 12};
    const auto whole = device.grow(prompt, capacities, sampler, 512);
    EXPECT_GT(whole.sampled, 20);
    const auto cut = device.grow(prompt, capacities, sampler, 33);
    EXPECT_EQ(whole.logp, cut.logp);
    std::vector<A> logp(whole.logp.size()), entropy(whole.logp.size());
    for (const auto keep : {model::keep::everything, model::keep::nothing}) {
      device.score(whole.tree, d, &whole.support, keep, logp, entropy);
      const auto a = compare_rows<A>(whole.tree, whole.logp, logp),
                 b = compare_rows<A>(whole.tree, whole.entropy, entropy);
      EXPECT_EQ(a.different, 0) << a;
      EXPECT_EQ(b.different, 0) << b;
      EXPECT_GE(a.compared, whole.sampled);
    }
  }
}

TYPED_TEST_P(CudaDecoder, ATreeIsItsSequences) {
  using A = accumulate_t<TypeParam>;
  cpu::context ctx;
  const auto policy = make_decoder<TypeParam>(ctx, qwen3(70));
  device_policy<TypeParam> device(*policy, {});
  dice r(9);
  const auto tree = random_forest(r, 70);
  const auto flat = flatten(tree);
  std::vector<A> logp(static_cast<std::size_t>(tree.tokens())), entropy(logp);
  std::vector<A> flat_logp(flat.source.size()), flat_entropy(flat.source.size());
  device.score(tree, {}, nullptr, model::keep::inputs, logp, entropy);
  device.score(flat.tree, {}, nullptr, model::keep::inputs, flat_logp, flat_entropy);
  std::int64_t compared = 0;
  for (std::size_t i = 0; i < flat.source.size(); ++i) {
    const auto at = static_cast<std::size_t>(flat.source[i]);
    if (logp[at] == 0 || flat_logp[i] == 0) continue;  // without loss; a shared token has it once
    ++compared;
    ASSERT_EQ(std::memcmp(&logp[at], &flat_logp[i], sizeof(A)), 0) << i;
    ASSERT_EQ(std::memcmp(&entropy[at], &flat_entropy[i], sizeof(A)), 0) << i;
  }
  EXPECT_GT(compared, 50);
}

REGISTER_TYPED_TEST_SUITE_P(CudaDecoder, DecodedRowsAreTrainingRows, ATreeIsItsSequences);

}  // namespace ql::test
