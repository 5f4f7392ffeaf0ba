// SPDX-License-Identifier: Apache-2.0
// AdamW with moments of one byte against ten steps of bitsandbytes' own (tests/golden/optimizers.py).
#include <ql/backend/cpu/context.hpp>
#include <ql/rl/adamw_8bit.hpp>
#include <ql/testing/rl_laws.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "rl/support/optimizer_goldens.hpp"

namespace {
using namespace ql::rl;
namespace goldens = ql::test::goldens;
namespace laws = ql::testing::laws;

TEST(Adamw8Bit, CodesAreThoseOfBitsandbytes) {
  for (std::size_t i = 0; i < 256; ++i) {
    EXPECT_NEAR(signed_code.value[i], goldens::signed_code[i], 2e-7f * std::abs(goldens::signed_code[i])) << i;
    EXPECT_NEAR(unsigned_code.value[i], goldens::unsigned_code[i], 2e-7f * goldens::unsigned_code[i]) << i;
  }
  static_assert(signed_code.nearest(0.0f) == 127 && unsigned_code.nearest(0.0f) == 0);
  static_assert(signed_code.nearest(1.0f) == 255 && unsigned_code.nearest(1.0f) == 255);
  // nearest, by looking at all
  for (const auto& code : {signed_code, unsigned_code})
    for (double x = -1; x <= 1; x += 0.000217) {
      std::size_t best = 0;
      const auto gap = [&](std::size_t i) { return std::abs(x - static_cast<double>(code.value[i])); };
      for (std::size_t i = 1; i < 256; ++i)
        if (gap(i) < gap(best)) best = i;
      EXPECT_NEAR(gap(code.nearest(x)), gap(best), 1e-9) << x;
    }
}
TEST(Adamw8Bit, TenStepsAsBitsandbytes) {
  ql::cpu::context ctx;
  const adamw_8bit opt{{.beta2 = 0.95, .weight_decay = 0.1}};
  std::vector<float> w(600), g(600);
  for (std::size_t i = 0; i < 600; ++i) w[i] = static_cast<float>(std::cos(static_cast<double>(i)));
  auto s = opt.init<float>(ctx, w);
  for (int k = 1; k <= 10; ++k) {
    for (std::size_t i = 0; i < 600; ++i) g[i] = static_cast<float>(std::sin(1 + k + 1.7 * static_cast<double>(i)) / k);
    opt.step<float>(ctx, w, g, s, 0.003);
  }
  int other_m = 0, other_v = 0;  // rounding decides a few codes, which then lie beside
  for (std::size_t k = 0; k < std::size(goldens::adamw_8bit); ++k) {
    EXPECT_NEAR(w[7 * k], goldens::adamw_8bit[k], 2e-5) << k;
    const int m = s.m.data()[7 * k] - goldens::adamw_8bit_m[k], v = s.v.data()[7 * k] - goldens::adamw_8bit_v[k];
    EXPECT_LE(std::abs(m), 1) << k;
    EXPECT_LE(std::abs(v), 1) << k;
    other_m += m != 0, other_v += v != 0;
  }
  EXPECT_LE(other_m, 4);
  EXPECT_LE(other_v, 4);
  for (std::size_t b = 0; b < 3; ++b) {
    EXPECT_NEAR(s.m_scale.data()[b], goldens::adamw_8bit_m_scale[b], 1e-6);
    EXPECT_NEAR(s.v_scale.data()[b], goldens::adamw_8bit_v_scale[b], 1e-6);
  }
}
TEST(Adamw8Bit, StaysNearAdamwAndNeverDividesByEpsilonAlone) {
  ql::cpu::context ctx;
  // One weight's gradient is ten thousand times smaller than its block's: its second moment is below the least code.
  std::vector<float> w(300, 0.0f), x(300, 0.0f), g(300);
  const adamw_8bit opt{{.beta2 = 0.99}};
  auto s = opt.init<float>(ctx, w);
  auto t = opt.rule.init<float>(ctx, x);
  for (int k = 0; k < 50; ++k) {
    for (std::size_t i = 0; i < 300; ++i)
      g[i] = std::sin(static_cast<float>(i + 1) * 0.37f + static_cast<float>(k) * 0.1f);
    g[7] = k < 5 ? 1e-4f : 0.0f;
    opt.step<float>(ctx, w, g, s, 0.01);
    opt.rule.step<float>(ctx, x, g, t, 0.01);
  }
  double gap = 0, moved = 0;
  for (std::size_t i = 0; i < 300; ++i) {
    if (i == 7) continue;
    gap += std::abs(w[i] - x[i]), moved += std::abs(x[i]);
  }
  EXPECT_LT(gap, 0.05 * moved);
  EXPECT_LT(std::abs(w[7]), 0.2);  // m / eps would be 1e4 steps
  EXPECT_EQ(s.m.bytes() + s.v.bytes() + s.m_scale.bytes() + s.v_scale.bytes(), 2 * 300 + 2 * 2 * 4);
}
TEST(Adamw8Bit, KeepsTheLaws) {
  ql::cpu::context ctx;
  EXPECT_EQ(laws::optimizer(adamw_8bit{}, ctx), "");
  EXPECT_EQ(laws::optimizer(adamw_8bit{{.weight_decay = 0.1}}, ctx), "");
}
}  // namespace
