// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>
#include <ql/testing/session_laws.hpp>

#include <gtest/gtest.h>

#include "model/support/instances.hpp"
#include "model/support/shapes.hpp"

namespace {
using namespace ql;
namespace laws = ql::testing::laws;

template <class T>
void sessions_keep_the_law(double tolerance) {
  cpu::context ctx;
  const auto policy = test::make_decoder<T>(ctx, test::qwen2(70));
  for (const auto& d :
       {distribution{}, distribution{.temperature = 0.7}, distribution{.temperature = 1.3, .top_k = 9, .top_p = 0.9},
        distribution{.temperature = 0.7, .top_k = 9, .top_p = 0.95, .min_p = 0.01, .rule = support_rule::frozen}})
    EXPECT_EQ(laws::session<T>(ctx, *policy, [&] { return rl::stochastic(d); }, tolerance), "") << d.temperature;
  EXPECT_EQ(laws::session<T>(ctx, *policy, [] { return rl::greedy(0.5); }, tolerance, false), "");
}
TEST(SessionLaws, Float) { sessions_keep_the_law<float>(1e-5); }
TEST(SessionLaws, Double) { sessions_keep_the_law<double>(1e-12); }

// The law must be able to fail: a sampler that hides what it kept, and one that does not look at its number.
struct hides : rl::stochastic {
  using rl::stochastic::stochastic;
  rl::draw operator()(const logits_row<float>& row, double u) {
    auto d = rl::stochastic::operator()(row, u);
    d.kept_mass *= ++calls % 2 == 0 ? 1.0 : 0.5;
    if (calls > 20) d.kept = d.kept.first(1), d.id = d.kept[0];
    return d;
  }
  int calls = 0;
};
struct constant : rl::stochastic {
  rl::draw operator()(const logits_row<float>& row, double) { return rl::stochastic::operator()(row, 0.5); }
};
TEST(SessionLaws, CatchesWrongSamplers) {
  cpu::context ctx;
  const auto policy = test::make_decoder<float>(ctx, test::qwen2(70));
  const distribution frozen{.top_k = 9, .rule = support_rule::frozen};
  EXPECT_NE(laws::session<float>(ctx, *policy, [&] { return hides(frozen); }), "");
  EXPECT_NE(laws::session<float>(ctx, *policy, [] { return constant(); }), "");
}
}  // namespace
