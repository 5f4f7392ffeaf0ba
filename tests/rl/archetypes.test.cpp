// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/context.hpp>
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/entropy.hpp>
#include <ql/rl/kl.hpp>
#include <ql/testing/reward_archetypes.hpp>
#include <ql/testing/rl_archetypes.hpp>
#include <ql/testing/rl_laws.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace {
namespace a = ql::testing::archetypes;
using namespace ql::rl;

static_assert(optimizer<a::optimizer, ql::cpu::context, float>);
static_assert(!optimizer<a::optimizer, ql::cpu::context, double>);
static_assert(!optimizer<a::optimizer_with_hidden_state, ql::cpu::context, float>);

// Algorithms compile and run with the smallest models.
TEST(Archetypes, AreEnoughForTheAlgorithms) {
  const std::vector<std::int64_t> offsets{0, 2};
  const std::vector<float> logp{-1, -2};
  std::vector<float> dlogp{7, 7}, dentropy{7, 7};
  token_batch<float> b;
  b.offsets = offsets;
  b.logp = logp;
  b.ref = logp;
  b.entropy = logp;
  const std::vector<float> advantage{1};
  b.sequence_advantage = advantage;
  const loss_gradient<float> out{dlogp, dentropy};
  EXPECT_EQ(apply_loss(a::loss{}, b, a::aggregation{}, out).value, 0.0);
  EXPECT_EQ(dlogp[1], 0.0f);
  EXPECT_EQ(apply_loss(a::sequence_loss{}, b, a::aggregation{}, out).tokens, 2);
  EXPECT_EQ(apply_loss(corrected{a::loss{}, a::correction{}}, b, a::aggregation{}, out).value, 0.0);
  EXPECT_EQ(apply_loss(corrected{a::sequence_loss{}, a::correction{}}, b, a::aggregation{}, out).value, 0.0);
  EXPECT_EQ(apply_loss(kl_penalized{a::loss{}, k2{}, 0.5}, b, a::aggregation{}, out).value, 0.0);
  EXPECT_EQ(apply_loss(negative_clip_sequence{a::loss{}, 0.5}, b, a::aggregation{}, out).value, 0.0);
  // the same through a context
  ql::cpu::context ctx;
  loss_report report;
  apply_loss(ctx, a::loss{}, b, a::aggregation{}, count(b), out, report);
  EXPECT_EQ(report.tokens, 2);

  max_of best{a::reward{}, judged{a::judge{}, a::presenter{}}};
  EXPECT_EQ(best(graded_item{}), outcome{scored{0}});
  static_assert(reward<max_of<a::reward, a::reward>> && reward<first_of<a::reward, a::reward>>);
  const std::vector<double> score{1, 0};
  std::vector<std::uint8_t> keep(1);
  EXPECT_EQ((filter_groups<a::filter, double>({}, score, offsets, keep)), 1);
}
}  // namespace
