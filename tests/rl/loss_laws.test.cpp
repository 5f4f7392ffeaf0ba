// SPDX-License-Identifier: Apache-2.0
#include <ql/rl/policy_loss.hpp>

#include "rl/support/loss_laws.hpp"

namespace {
using namespace ql::rl;
using namespace ql::test;

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
}  // namespace
