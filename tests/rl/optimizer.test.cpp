// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/context.hpp>
#include <ql/rl/optimizer.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace {
using ql::rl::adamw;
using ql::rl::sgd;

// 10 steps on g_k = sin(1 + k + i) from w_i = 0.1 (i + 1), by textbook formulas in long double.
TEST(Adamw, FollowsTheTextbookOverTenSteps) {
  const adamw opt{.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .weight_decay = 0.01};
  ql::cpu::context ctx;
  std::vector<double> w{0.1, 0.2, 0.3}, g(3);
  auto s = opt.init<double>(ctx, w);
  std::vector<long double> x(w.begin(), w.end()), m(3), v(3);
  for (int k = 1; k <= 10; ++k) {
    for (std::size_t i = 0; i < 3; ++i) g[i] = std::sin(1.0 + k + static_cast<double>(i));
    opt.step<double>(ctx, w, g, s, 0.003);
    for (std::size_t i = 0; i < 3; ++i) {
      m[i] = 0.9L * m[i] + 0.1L * g[i];
      v[i] = 0.99L * v[i] + 0.01L * g[i] * g[i];
      const auto mh = m[i] / (1 - std::pow(0.9L, k)), vh = v[i] / (1 - std::pow(0.99L, k));
      x[i] = x[i] - 0.003L * 0.01L * x[i] - 0.003L * mh / (std::sqrt(vh) + 1e-8L);
      EXPECT_NEAR(w[i], static_cast<double>(x[i]), 1e-14) << k << " " << i;
    }
  }
  EXPECT_EQ(s.steps, 10);
}

TEST(Adamw, FirstStepMovesByTheLearningRate) {
  ql::cpu::context ctx;
  std::vector<float> w{1.0f, 1.0f}, g{1e-3f, -7.0f};
  auto s = adamw{}.init<float>(ctx, w);
  adamw{}.step<float>(ctx, w, g, s, 0.01);
  EXPECT_NEAR(w[0], 0.99f, 1e-6);
  EXPECT_NEAR(w[1], 1.01f, 1e-6);
}

TEST(Sgd, MomentumAndNesterovAsPyTorch) {
  const sgd opt{.momentum = 0.9, .weight_decay = 0.1};
  ql::cpu::context ctx;
  std::vector<double> w{1.0}, g{0.5};
  auto s = opt.init<double>(ctx, w);
  opt.step<double>(ctx, w, g, s, 0.1);
  EXPECT_NEAR(w[0], 1.0 - 0.1 * 0.6, 1e-15);
  opt.step<double>(ctx, w, g, s, 0.1);
  EXPECT_NEAR(w[0], 0.94 - 0.1 * (0.9 * 0.6 + 0.594), 1e-15);
  std::vector<double> y{1.0};
  const sgd fast{.momentum = 0.9, .nesterov = true};
  auto t = fast.init<double>(ctx, y);
  fast.step<double>(ctx, y, g, t, 0.1);
  EXPECT_NEAR(y[0], 1.0 - 0.1 * (0.5 + 0.9 * 0.5), 1e-15);
}

TEST(Optimizer, RejectsWhatDoesNotFit) {
  ql::cpu::context ctx;
  std::vector<float> w(4), g(3);
  auto s = adamw{}.init<float>(ctx, w);
  EXPECT_THROW(adamw{}.step<float>(ctx, w, g, s, 0.1), ql::shape_error);
  EXPECT_EQ(s.steps, 0);
  try {
    (void)adamw{.beta1 = 1.0, .eps = 0.0}.step<float>(ctx, w, w, s, 0.1);
    FAIL();
  } catch (const ql::argument_error& e) {
    const std::string text = e.what();
    EXPECT_NE(text.find("adamw.beta1 = 1.000000: expected in [0, 1); use 0.9"), std::string::npos) << text;
    EXPECT_NE(text.find("adamw.eps"), std::string::npos) << text;
  }
  static_assert(ql::rl::valid(adamw{}) && ql::rl::valid(sgd{}));
  static_assert(!ql::rl::valid(sgd{.nesterov = true}));
}

TEST(GradientNorm, ClipsOverSeveralParts) {
  const std::vector<float> a(9, 3.0f), b{4.0f, 0.0f};
  ql::rl::gradient_norm n;
  n.add<float>(a);
  n.add<float>(b);
  EXPECT_DOUBLE_EQ(n.value(), std::sqrt(81.0 + 16.0));
  EXPECT_NEAR(n.clip_scale(1.0), 1.0 / (std::sqrt(97.0) + 1e-6), 1e-16);
  EXPECT_EQ(n.clip_scale(100.0), 1.0);
  const std::vector<float> bad{INFINITY};
  n.add<float>(bad);
  EXPECT_FALSE(n.finite());
  EXPECT_EQ(n.clip_scale(1.0), 0.0);
}

static_assert(ql::rl::optimizer<adamw, ql::cpu::context, float>);
static_assert(ql::rl::optimizer<sgd, ql::cpu::context, double>);
}  // namespace
