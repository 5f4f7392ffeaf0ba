// SPDX-License-Identifier: Apache-2.0
// The law of a trained policy holds for ql's own decoder, and finds policies that break it.
#include <ql/backend/cpu/kernels.hpp>
#include <ql/model/decoder_training.hpp>
#include <ql/testing/policy_archetypes.hpp>
#include <ql/testing/policy_laws.hpp>

#include <gtest/gtest.h>

#include <string>

namespace {

using namespace ql;
using decoder = model::decoder<double, cpu::context>;

model::decoder_config shape() {
  model::decoder_config s;
  s.vocabulary = 24, s.hidden = 16, s.layers = 1, s.heads = 2, s.kv_heads = 1, s.ffn = 24, s.max_context = 32;
  return s;
}

struct PolicyLaws : ::testing::Test {
  cpu::context ctx;
};

TEST_F(PolicyLaws, HoldForTheDecoder) {
  decoder policy(ctx, shape());
  policy.initialise(ctx, 3, 0.2);
  EXPECT_EQ(ql::testing::laws::policy(ctx, policy, 24), "");
}

struct half_gradient : decoder {
  using decoder::decoder;
  void backward(cpu::context& ctx, tape& t, model::scores<const double> d) {
    std::vector<double> half(d.logp.begin(), d.logp.end());
    for (double& x : half) x *= 0.5;
    decoder::backward(ctx, t, {half, {}});
  }
};
struct deaf_to_publish : decoder {
  using decoder::decoder;
  void publish(cpu::context&, parameter_type&) {}
};
struct talks_of_prompts : decoder {
  using decoder::decoder;
  tape score(cpu::context& ctx, const token_tree& tree, const lane_plan& plan, unit_range range, const score_options& o,
             model::scores<double> out) {
    out.logp[0] = -1;
    return decoder::score(ctx, tree, plan, range, o, out);
  }
};
template <class Policy>
std::string broken(cpu::context& ctx) {
  Policy policy(ctx, shape());
  static_cast<decoder&>(policy).initialise(ctx, 3, 0.2);
  return ql::testing::laws::policy(ctx, policy, 24);
}

TEST_F(PolicyLaws, FindAPolicyThatBreaksThem) {
  EXPECT_NE(broken<half_gradient>(ctx).find("the gradient of"), std::string::npos);
  EXPECT_NE(broken<deaf_to_publish>(ctx).find("the gradient of"), std::string::npos);
  EXPECT_NE(broken<talks_of_prompts>(ctx).find("carries no loss"), std::string::npos);
}

}  // namespace
