// SPDX-License-Identifier: Apache-2.0
#include <ql/rl/advantage.hpp>
#include <ql/rl/correction.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/testing/rl_laws.hpp>

#include <gtest/gtest.h>

namespace {
using namespace ql::rl;
namespace laws = ql::testing::laws;

TEST(LossLaws, AggregationsSplitBitForBit) {
  EXPECT_EQ(laws::batching(clip{}, token_mean{}), "");
  EXPECT_EQ(laws::batching(clip{}, sequence_mean_token_mean{}), "");
  EXPECT_EQ(laws::batching(clip{}, sequence_mean_token_sum{}), "");
  EXPECT_EQ(laws::batching(clip{}, sequence_mean_token_sum_norm{100}), "");
  EXPECT_EQ(laws::batching(clip{}, token_sum{}), "");
  EXPECT_EQ(laws::batching(clip{}, prompt_mean{}), "");
  static_assert(!micro_batch_token_mean::split_invariant);
}

// The laws themselves must be able to fail.
struct wrong_sign {
  static constexpr input reads = input::logp | input::advantage;
  template <class T>
  constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    return {-t.advantage * t.logp, t.advantage, T(0)};
  }
};
struct hidden_input {
  static constexpr input reads = input::logp;
  template <class T>
  constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    return {-t.advantage * t.logp, -t.advantage, T(0)};
  }
};
struct forgotten_dentropy {
  static constexpr input reads = input::logp | input::entropy;
  template <class T>
  constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    return {t.entropy - t.logp, T(-1), T(0)};
  }
};
struct always_half {
  static constexpr int sums = 0;
  template <class T>
  constexpr T weight(const token_term<T>&, const sequence_term<0>&) const {
    return T(0.5);
  }
};
TEST(LossLaws, CatchWrongLosses) {
  EXPECT_NE(laws::gradient(wrong_sign{}), "");
  EXPECT_NE(laws::on_policy_gradient(wrong_sign{}), "");
  EXPECT_NE(laws::declared_inputs(hidden_input{}), "");
  EXPECT_NE(laws::gradient(forgotten_dentropy{}), "");
  EXPECT_NE(laws::on_policy_gradient(sft{}), "");
  EXPECT_NE(laws::correction(always_half{}), "");
  EXPECT_NE(laws::advantage(dr_grpo_advantage{}), "");  // not scale-free
}

TEST(CorrectionLaws, OneForAnUnchangedPolicy) {
  EXPECT_EQ(laws::correction(no_correction{}), "");
  EXPECT_EQ(laws::correction(token_tis{}), "");
  EXPECT_EQ(laws::correction(token_mask{}), "");
  EXPECT_EQ(laws::correction(sequence_tis{}), "");
  EXPECT_EQ(laws::correction(sequence_mask{}), "");
  EXPECT_EQ(laws::correction(geometric_rejection{}), "");
  EXPECT_EQ(laws::correction(off_policy_sequence_mask{}), "");
  EXPECT_EQ(laws::correction(divergence_rejection{}), "");
  EXPECT_EQ(laws::correction(divergence_rejection<drift_of::sum>{}), "");
  EXPECT_EQ(laws::correction(divergence_rejection<drift_of::maximum>{}), "");
  EXPECT_EQ(laws::correction(divergence_rejection<drift_of::token>{.by = divergence::k2}), "");
  EXPECT_EQ(laws::correction(sequence_error_mask{}), "");
  EXPECT_EQ(laws::correction(normalised{sequence_tis{}, 1.0}), "");
  static_assert(correction_for<token_tis, false> && correction_for<no_correction, true>);
  static_assert(!correction_for<no_correction, false>);
}
}  // namespace
