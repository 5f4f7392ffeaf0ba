// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/context.hpp>
#include <ql/rl/optimizer_decorators.hpp>
#include <ql/testing/rl_laws.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {
using namespace ql::rl;
namespace laws = ql::testing::laws;

static_assert(optimizer<averaged<adamw>, ql::cpu::context, float>);
static_assert(optimizer<accumulated<averaged<sgd>>, ql::cpu::context, double>);

TEST(OptimizerDecorators, KeepTheLaws) {
  ql::cpu::context ctx;
  EXPECT_EQ(laws::optimizer(averaged{adamw{}, 0.9}, ctx), "");
  EXPECT_EQ(laws::optimizer(accumulated{adamw{}, 1}, ctx), "");
  EXPECT_EQ(laws::optimizer(accumulated{adamw{}, 2}, ctx), "");  // the checkpoint falls between two updates
  EXPECT_EQ(laws::optimizer(accumulated{averaged{sgd{.momentum = 0.9}, 0.5}, 2}, ctx), "");
}
TEST(OptimizerDecorators, AverageFollowsTheWeights) {
  ql::cpu::context ctx;
  std::vector<double> w{1.0}, g{1.0};
  const averaged opt{sgd{}, 0.75};
  auto s = opt.init<double>(ctx, w);
  EXPECT_EQ(s.average.data()[0], 1.0);
  opt.step<double>(ctx, w, g, s, 0.4);
  EXPECT_NEAR(s.average.data()[0], 0.75 * 1.0 + 0.25 * 0.6, 1e-15);
  EXPECT_THROW((averaged{sgd{}, 1.0}.step<double>(ctx, w, g, s, 0.4)), ql::argument_error);
}
TEST(OptimizerDecorators, AccumulationIsOneStepOnTheSum) {
  ql::cpu::context ctx;
  std::vector<float> w{1, 2}, x{1, 2}, a{0.5f, -1}, b{0.25f, 3}, sum{0.75f, 2};
  const accumulated opt{adamw{}, 2};
  auto s = opt.init<float>(ctx, w);
  auto t = adamw{}.init<float>(ctx, x);
  for (int k = 0; k < 3; ++k) {
    const auto before = w;
    opt.step<float>(ctx, w, a, s, 0.1);
    EXPECT_EQ(w, before);
    opt.step<float>(ctx, w, b, s, 0.1);
    adamw{}.step<float>(ctx, x, sum, t, 0.1);
    EXPECT_EQ(w, x);
  }
  EXPECT_EQ(s.inner.steps, 3);
  const std::vector<float> wrong{1};
  EXPECT_THROW(opt.step<float>(ctx, w, wrong, s, 0.1), ql::shape_error);
}
}  // namespace
