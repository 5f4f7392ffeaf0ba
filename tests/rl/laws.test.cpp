// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/context.hpp>
#include <ql/rl/entropy.hpp>
#include <ql/rl/kl.hpp>
#include <ql/testing/rl_laws.hpp>

#include <gtest/gtest.h>

namespace {
using namespace ql::rl;
namespace laws = ql::testing::laws;

template <class Loss>
void holds(const Loss& loss) {
  EXPECT_EQ(laws::policy_loss(loss, 11), "");
  EXPECT_EQ(laws::policy_loss(loss, 12), "");
}
template <class Loss>
void is_policy_term(const Loss& loss) {
  holds(loss);
  EXPECT_EQ(laws::on_policy_gradient(loss), "");
}

TEST(LossLaws, Pointwise) {
  is_policy_term(reinforce{});
  is_policy_term(ratio_loss{});
  is_policy_term(ratio_loss{.log_ratio_limit = 0.3});
  is_policy_term(clip{});
  is_policy_term(clip{.log_ratio_limit = 0.15});
  is_policy_term(clip_higher);
  is_policy_term(dual_clip{.c = 1.2});
  is_policy_term(two_sided_clip{.cap = ratio_cap{1.3}});
  is_policy_term(cispo{.floor = 0.9, .cap = ratio_cap{1.2}});
  is_policy_term(sapo{});
  is_policy_term(dppo_tv{.delta = 0.05});
  is_policy_term(dppo_kl{.delta = 0.01});
  is_policy_term(squared_log_ratio{.tau = 0.1});
  is_policy_term(topr{});
  holds(sft{});
  holds(absolute_log_ratio{.coefficient = 0.1});
}
TEST(LossLaws, Sequence) {
  is_policy_term(gspo{.low = 0.1, .high = 0.1, .allow_wide = true});
  is_policy_term(gspo{.low = 0.1, .high = 0.1, .allow_wide = true, .log_ratio_limit = 0.05});
  is_policy_term(gspo_token{.low = 0.1, .high = 0.1, .allow_wide = true});
  is_policy_term(gmpo{.low = 0.2, .high = 0.2});
  holds(luspo{gspo{.low = 0.1, .high = 0.1, .allow_wide = true}});
  is_policy_term(vespo{});
}
TEST(LossLaws, Decorated) {
  holds(kl_penalized{clip{}, k2{}, 0.3});
  holds(kl_penalized{clip{}, k3{}, 0.3});
  holds(kl_penalized{clip{}, k3{.input_limit = 0.2, .output_limit = 0.01}, 0.3});
  holds(kl_penalized{clip{}, absolute_kl{}, 0.3});
  holds(kl_penalized{clip{}, straight_through<k1>{}, 0.3});
  holds(kl_penalized{cispo{}, score_function<k1>{}, 0.3});
  holds(kl_penalized{clip{}, importance_weighted<k3>{}, 0.3});
  holds(kl_penalized{gmpo{}, k3{}, 0.3});
  holds(entropy_bonus{clip{}, 0.01});
  holds(entropy_bonus{gmpo{}, 0.01});
  holds(negative_clip_token{clip{}, 1.0});
  holds(negative_clip_sequence{gmpo{}, 1.0});
  holds(negative_clip_sequence{clip{}, 1.0});
  holds(negatives_masked{clip{}, true});
  is_policy_term(negatives_masked{clip{}, false});
}
TEST(LossLaws, Corrected) {
  is_policy_term(corrected{clip{}, no_correction{}});
  is_policy_term(corrected{clip{}, token_tis{.cap = ratio_cap{1.02}}});
  is_policy_term(corrected{clip{}, token_mask{.low = 0.95, .high = 1.05}});
  is_policy_term(corrected{clip{}, sequence_tis{.cap = ratio_cap{1.02}}});
  is_policy_term(corrected{clip{}, sequence_mask{.low = 0.9, .high = 1.1}});
  is_policy_term(corrected{clip{}, geometric_rejection{.low = 0.98, .high = 1.02, .raw_weights = true}});
  is_policy_term(corrected{cispo{}, divergence_rejection{}});
  is_policy_term(corrected{clip{}, divergence_rejection<drift_of::token>{}});
  is_policy_term(corrected{gmpo{}, divergence_rejection<drift_of::maximum>{divergence::k2, 0.004}});
  is_policy_term(corrected{clip{}, normalised{token_tis{}, 1.0}});
  is_policy_term(corrected{clip{}, sequence_error_mask{}});
  is_policy_term(corrected{corrected{clip{}, token_tis{}}, off_policy_sequence_mask{}});
  is_policy_term(corrected{gmpo{}, sequence_tis{}});
  holds(kl_penalized{entropy_bonus{corrected{clip_higher, token_tis{}}, 0.001}, k3{}, 0.01});
}
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

TEST(AdvantageLaws, ShiftScaleAndSum) {
  EXPECT_EQ(laws::advantage(grpo_advantage{}), "");
  EXPECT_EQ(laws::advantage(grpo_advantage{.spread = divisor::population}), "");
  EXPECT_EQ(laws::advantage(grpo_advantage{.leave_one_out = true}, {.scale = false, .zero_sum = false}), "");
  EXPECT_EQ(laws::advantage(dr_grpo_advantage{}, {.scale = false}), "");
  EXPECT_EQ(laws::advantage(rloo_advantage{}, {.scale = false}), "");
  EXPECT_EQ(laws::advantage(batch_std_advantage{}), "");
  EXPECT_EQ(laws::advantage(task_std_advantage{}), "");
  EXPECT_EQ(laws::advantage(remax_advantage{}, {.shift = false, .scale = false, .zero_sum = false}), "");
  EXPECT_EQ(laws::advantage(opo_advantage{}, {.scale = false, .zero_sum = false}), "");
  EXPECT_EQ(laws::advantage(gpg_advantage{}, {.scale = false}), "");
  EXPECT_EQ(laws::advantage(pass_at_k_advantage{}, {.zero_sum = false}), "");
  EXPECT_EQ(laws::advantage(max_rl_advantage{}, {.shift = false}), "");
}

TEST(OptimizerLaws, StateSurvivesACheckpoint) {
  ql::cpu::context ctx;
  EXPECT_EQ(laws::optimizer(adamw{.weight_decay = 0.1}, ctx), "");
  EXPECT_EQ(laws::optimizer(sgd{.momentum = 0.9}, ctx), "");
}
}  // namespace
