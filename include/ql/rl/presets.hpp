// SPDX-License-Identifier: Apache-2.0
#pragma once

// The choices by which other systems' numbers are reproduced, one namespace per system; each constant is a value to
// copy and change. docs/algorithms.md tells where they differ.

#include <ql/rl/advantage.hpp>
#include <ql/rl/aggregation.hpp>
#include <ql/rl/correction.hpp>
#include <ql/rl/kl.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/token_advantage.hpp>

namespace ql::rl::presets {

// volcengine/verl
namespace verl {
inline constexpr grpo_advantage grpo{.eps = 1e-6, .single = single_group::raw_reward};
inline constexpr dr_grpo_advantage dr_grpo{.single = single_group::raw_reward};
inline constexpr rloo_advantage rloo{.single = single_group::raw_reward};
inline constexpr whiten whitening{.spread = divisor::sample, .eps = 1e-8};
inline constexpr reinforce_pp reinforce_plus_plus{.gamma = 1.0, .normalise = whitening};
inline constexpr gae gae_default{.gamma = 1.0, .lambda = 1.0};
inline constexpr clip ppo{.low = 0.2, .high = 0.2, .log_ratio_limit = 20.0};
inline constexpr dual_clip policy_loss{.low = 0.2, .high = 0.2, .c = 3.0, .log_ratio_limit = 20.0};
inline constexpr gspo_token gspo{.low = 0.2, .high = 0.2, .allow_wide = true, .log_ratio_limit = 10.0};
inline constexpr k3 kl{.input_limit = 20.0, .output_limit = 10.0};
inline constexpr double kl_coefficient = 0.001;
inline constexpr token_tis tis{.cap = ratio_cap{2.0}};
inline constexpr geometric_rejection rejection{.low = 0.999, .high = 1.001};
inline constexpr value_clip value_loss{.e = 0.5};
inline constexpr token_mean aggregation{};
}  // namespace verl

// huggingface/trl
namespace trl {
inline constexpr grpo_advantage grpo{.eps = 1e-4};
inline constexpr batch_std_advantage batch_std{.eps = 1e-4};
inline constexpr rloo_advantage rloo{};
inline constexpr gae gae_default{.gamma = 1.0, .lambda = 0.95};
inline constexpr clip policy_loss{.low = 0.2, .high = 0.2};
inline constexpr two_sided_clip two_sided{.low = 0.2, .high = 0.2, .cap = ratio_cap{4.0}};
inline constexpr gspo sequence_level{.low = 0.2, .high = 0.2, .allow_wide = true};
inline constexpr k3 kl{};
inline constexpr sequence_mask rejection{.low = 0.0, .high = 3.0};
inline constexpr value_clip value_loss{.e = 0.2};
inline constexpr token_mean aggregation{};
}  // namespace trl

// OpenRLHF/OpenRLHF
namespace openrlhf {
inline constexpr grpo_advantage grpo{.eps = 1e-9, .single = single_group::raw_reward};
inline constexpr whiten whitening{.spread = divisor::population, .eps = 1e-8, .floor = true};
inline constexpr reinforce_pp reinforce_plus_plus{.gamma = 1.0, .normalise = whitening};
inline constexpr reinforce_pp_baseline reinforce_plus_plus_baseline{.normalise = whitening};
inline constexpr gae gae_default{.gamma = 1.0, .lambda = 1.0};
inline constexpr clip policy_loss{.low = 0.2, .high = 0.2, .log_ratio_limit = 20.0};
inline constexpr k3 kl{.output_limit = 10.0};
inline constexpr double kl_coefficient = 0.01;
inline constexpr value_clip value_loss{.e = 0.5};
inline constexpr token_mean aggregation{};
}  // namespace openrlhf

// NVIDIA-NeMo/RL
namespace nemo_rl {
inline constexpr grpo_advantage grpo{.eps = 1e-6, .leave_one_out = true, .single = single_group::zero};
inline constexpr whiten whitening{.spread = divisor::population, .eps = 1e-8, .floor = true};
inline constexpr clip policy_loss{.low = 0.2, .high = 0.2};
inline constexpr k3 kl{.input_limit = 20.0, .output_limit = 10.0};
inline constexpr double kl_coefficient = 0.01;
inline constexpr geometric_rejection rejection{.low = 0.999, .high = 1.002, .raw_weights = true};
inline constexpr token_mean aggregation{};
}  // namespace nemo_rl

// THUDM/slime
namespace slime {
inline constexpr grpo_advantage grpo{.eps = 1e-6, .single = single_group::raw_reward};
inline constexpr clip policy_loss{.low = 0.2, .high = 0.2};
inline constexpr k3 kl{.output_limit = 10.0};  // its low_var_kl; its k3 has no limit
inline constexpr token_tis tis{.cap = ratio_cap{2.0}};
inline constexpr off_policy_sequence_mask sequence_mask{.delta = 1e-4};
inline constexpr value_clip value_loss{.e = 0.2};
inline constexpr sequence_mean_token_mean aggregation{};
}  // namespace slime

// NovaSky-AI/SkyRL
namespace skyrl {
inline constexpr grpo_advantage grpo{.eps = 1e-6, .single = single_group::raw_reward};
inline constexpr max_rl_advantage max_rl{.eps = 1e-6};
inline constexpr whiten whitening{.spread = divisor::sample, .eps = 1e-8};
inline constexpr clip policy_loss{.low = 0.2, .high = 0.2, .log_ratio_limit = 20.0};
inline constexpr token_mean aggregation{};
}  // namespace skyrl

// QwenLong-L1 as its paper and its demonstration script have it, and L1.5 (arXiv 2505.17667, 2512.12967).
namespace qwenlong {
inline constexpr grpo_advantage l1_advantage{.eps = 1e-6};
inline constexpr clip l1_dapo = clip_higher;  // the paper names clip-higher, not its widths
inline constexpr clip l1_demo{.low = 0.2, .high = 0.2, .log_ratio_limit = 20.0};
inline constexpr double l1_demo_entropy_coefficient = 0.001;  // left on by the script's defaults
inline constexpr task_std_advantage l1_5_advantage{.eps = 1e-6};
inline constexpr ratio_loss l1_5_loss{};
}  // namespace qwenlong

}  // namespace ql::rl::presets
