// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/context.hpp>
#include <ql/rl/advantage.hpp>
#include <ql/rl/optimizer.hpp>
#include <ql/testing/rl_laws.hpp>

#include <gtest/gtest.h>

namespace {
using namespace ql::rl;
namespace laws = ql::testing::laws;

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
