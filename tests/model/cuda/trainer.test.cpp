// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cuda/kernels.hpp>

#include "model/support/device_policy.hpp"
#include "model/support/device_trainer.hpp"

#include <gtest/gtest.h>

namespace {

using namespace ql;

// Sampling, the curriculum with its scoring, losses and updates, in phases: nothing but the context differs.
TEST(DeviceTrainer, TheSameRecipeRunsOnTheDevice) {
  cuda::emulated_context ctx;
  const auto device = test::train_on(ctx), cpu = test::train_on_cpu();
  ASSERT_EQ(device.steps.size(), 2u);
  ASSERT_EQ(cpu.steps.size(), 2u);
  EXPECT_GT(device.scored, 0);
  EXPECT_EQ(device.scored, cpu.scored);
  EXPECT_EQ(device.answers, cpu.answers) << "log-probs differ in the last bits, draws do not";
  for (std::size_t i = 0; i < 2; ++i) {
    const auto &d = device.steps[i], &c = cpu.steps[i];
    EXPECT_GT(d.compared, 0);
    EXPECT_EQ(d.differing, 0) << "what was recorded while sampling is what the training forward computes";
    EXPECT_EQ(d.compared, c.compared);
    EXPECT_EQ(d.score, c.score);
    EXPECT_NEAR(d.entropy, c.entropy, 1e-4);
    EXPECT_NEAR(d.loss, c.loss, 1e-4);
    EXPECT_NEAR(d.gradient_norm, c.gradient_norm, 1e-3 * c.gradient_norm);
  }
  // AdamW's first steps are as long as the rate, whatever the gradient: where that is all but zero its sign may differ.
  ASSERT_EQ(device.weights.size(), cpu.weights.size());
  double sum = 0;
  for (std::size_t i = 0; i < cpu.weights.size(); ++i) sum += std::abs(device.weights[i] - cpu.weights[i]);
  EXPECT_LT(sum / static_cast<double>(cpu.weights.size()), 1e-5);
}

}  // namespace
