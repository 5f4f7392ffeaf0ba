// SPDX-License-Identifier: Apache-2.0
// Wrong use: an exception that names the operation, the argument, what was expected and what came.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "model/support/misuse.hpp"

using namespace ql;
using namespace ql::test;

TEST_F(Misuse, AnEmptyTree) {
  refuses<argument_error>([&] { score({}); }, {"token_tree", "tokens", "at least one token", "an empty tree"});
  token_tree hollow;
  hollow.add_root(std::initializer_list<token>{});
  refuses<argument_error>([&] { score(hollow); }, {"token_tree", "tokens", "at least one token", "an empty tree"});
}

TEST_F(Misuse, ASegmentWhoseParentComesLater) {
  token_tree t = group();
  for (std::int32_t parent : {3, 7, -1, -2})
    refuses<argument_error>(
        [&] { t.add(parent, {1, 2}); },
        {"token_tree::add", "parent", "a segment that is there already (0 to 2)", std::to_string(parent)});
}

TEST_F(Misuse, TokensOutsideTheVocabulary) {
  for (token id : {-1, 20, std::numeric_limits<token>::max(), std::numeric_limits<token>::min()}) {
    auto t = group();
    t.add(1, {3, id});
    refuses<argument_error>([&] { score(t); },
                            {"token_tree", "token id in segment 3", "0 to 19 (the vocabulary)", std::to_string(id)});
    grower<float> s(ctx, *policy);
    refuses<argument_error>([&] { s.add_root(std::vector<token>{3, id}); },
                            {"session", "token id in segment 0", "0 to 19 (the vocabulary)", std::to_string(id)});
  }
}

TEST_F(Misuse, AStaleTape) {
  const auto t = group();
  auto tape = policy->score(ctx, t, {}, {});
  publish<float>(ctx, *policy);
  zero_gradients<float>(ctx, *policy);
  const auto now = std::to_string(policy->weights_version()), then = std::to_string(policy->weights_version() - 1);
  refuses<state_error>(
      [&] { policy->backward(ctx, tape, {dlogp, {}}); },
      {"decoder::backward", "tape", "a tape of the current weights (version " + now + ")", "one of version " + then});
}

TEST_F(Misuse, ATapeUsedTwiceOrNotMeantForBackward) {
  const auto t = group();
  zero_gradients<float>(ctx, *policy);
  auto tape = policy->score(ctx, t, {}, {});
  policy->backward(ctx, tape, {dlogp, {}});
  const says message{"decoder::backward", "tape", "a tape scored for backward, used once",
                     "one scored without, or used already"};
  refuses<state_error>([&] { policy->backward(ctx, tape, {dlogp, {}}); }, message);
  options_of<float> o;
  o.backward = false;
  auto idle = policy->score(ctx, t, o, {});
  refuses<state_error>([&] { policy->backward(ctx, idle, {dlogp, {}}); }, message);
}

TEST_F(Misuse, GradientsOfAnotherSize) {
  const auto t = group();
  auto tape = policy->score(ctx, t, {}, {});
  zero_gradients<float>(ctx, *policy);
  const std::vector<float> few(51, 1.0f);
  refuses<shape_error>([&] { policy->backward(ctx, tape, {few, {}}); },
                       {"decoder::backward", "dlogp", "52 values, one a token of the tree", "51"});
  refuses<shape_error>([&] { policy->backward(ctx, tape, {dlogp, few}); },
                       {"decoder::backward", "dentropy", "52 values or none", "51"});
  EXPECT_NO_THROW(policy->backward(ctx, tape, {dlogp, {}})) << "a refused call does not use the tape up";
  std::vector<float> out(50);
  refuses<shape_error>([&] { policy->score(ctx, t, {}, {out, {}}); },
                       {"decoder::score", "logp", "52 values, one a token of the tree", "50"});
  refuses<shape_error>([&] { policy->score(ctx, t, {}, {{}, out}); },
                       {"decoder::score", "entropy", "52 values, one a token of the tree", "50"});
}

TEST_F(Misuse, ARangeThatCutsATree) {
  const auto t = group();
  const auto plan = plan_lanes(t, {.lanes = 1, .unit_tokens = 15});
  ASSERT_EQ(plan.units.size(), 3u);
  refuses<argument_error>(
      [&] { policy->score(ctx, t, plan, {0, 1}, {}, {}); },
      {"decoder::score", "range", "whole trees (cut micro-batches with lane_plan::split)", "a part of a tree"});
  refuses<argument_error>([&] { policy->score(ctx, t, plan, {2, 1}, {}, {}); },
                          {"decoder::score", "range", "whole trees", ""});
  for (unit_range r : {unit_range{0, 4}, unit_range{-1, 2}, unit_range{2, 2}, unit_range{1, -1}})
    refuses<argument_error>([&] { policy->score(ctx, t, plan, r, {}, {}); },
                            {"decoder::score", "range", "units of the plan", ""});
}

TEST_F(Misuse, AFrozenDistributionWithoutItsSupport) {
  const auto t = group();
  options_of<float> o;
  o.distribution = {.top_k = 4, .rule = support_rule::frozen};
  refuses<argument_error>([&] { policy->score(ctx, t, o, {}); },
                          {"decoder::score", "support", "the recorded support of a frozen distribution", "none"});
  frozen_support s;
  for (auto id : t.ids()) {
    s.ids.push_back(id == 3 ? 4 : 3);
    s.first.push_back(static_cast<std::int64_t>(s.ids.size()));
  }
  o.support = &s;
  refuses<argument_error>([&] { policy->score(ctx, t, o, {}); }, {"decoder::score", "support of token 30",
                                                                  "a support that holds the token", "one without it"});
  s.ids.clear();
  s.first = {0};
  for (auto id : t.ids()) {
    s.ids.insert(s.ids.end(), {id, 20});
    s.first.push_back(static_cast<std::int64_t>(s.ids.size()));
  }
  refuses<argument_error>([&] { policy->score(ctx, t, o, {}); },
                          {"decoder::score", "support", "ids of the vocabulary", "20"});
}
