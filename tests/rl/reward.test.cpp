// SPDX-License-Identifier: Apache-2.0
#include <ql/rl/judge.hpp>
#include <ql/rl/verify_strict.hpp>

#include <gtest/gtest.h>

#include <span>
#include <string_view>

namespace {
using namespace ql::rl;

TEST(Extract, Slots) {
  EXPECT_EQ(after_think{}("a </think> b </think> c \n"), "c");
  EXPECT_EQ(after_think{}("a"), std::nullopt);
  EXPECT_EQ(after_think{.optional = true}("a "), "a");
  EXPECT_EQ(boxed{}("x \\boxed{\\frac{1}{2}} y"), "\\frac{1}{2}");
  EXPECT_EQ(boxed{}("x \\boxed{1"), std::nullopt);
  EXPECT_EQ(after_phrase{}("The Answer is: **Paris**.\nBecause"), "Paris");
  EXPECT_EQ(after_phrase{}("the answer is (insert answer here)"), std::nullopt);
  static constexpr then chain{after_think{}, or_else{boxed{}, after_phrase{}}};
  EXPECT_EQ(chain("</think> the answer is 7."), "7");
  static_assert(answer_extractor<whole_response> && answer_extractor<after_think> && !answer_extractor<int>);
}

TEST(Judge, VerdictIsTheLastBracketedToken) {
  EXPECT_EQ(last_verdict("so [[YES]] ... no: [[NO]]"), false);
  EXPECT_EQ(last_verdict("[[no]] but then [[yes]]"), true);
  EXPECT_EQ(last_verdict("YES"), std::nullopt);
  EXPECT_EQ(last_verdict("[[YES]] or rather [[UNSURE]]"), std::nullopt);
  EXPECT_EQ(last_verdict("[[ yes ]]"), true);
  EXPECT_EQ(last_verdict("[[YES]] and [["), std::nullopt);
  EXPECT_TRUE(released_verdict("I say YES") && !released_verdict("yes"));
}
struct fixed_reward {
  outcome answer;
  outcome operator()(const graded_item&) const { return answer; }
};
struct counting_judge {
  int* calls;
  outcome answer;
  void operator()(std::span<const judge_query>, std::span<outcome> out) const {
    *calls += static_cast<int>(out.size());
    for (auto& o : out) o = answer;
  }
};
TEST(Judge, HybridNeverInventsAReward) {
  const std::string_view golds[] = {"Paris"};
  int calls = 0;
  const graded_item right{"", "</think> Paris", golds, answer_kind::text},
      wrong{"", "</think> Rome", golds, answer_kind::text}, attack{"", "</think> Solution", golds, answer_kind::text};
  max_of away{strict::rule_reward<>{}, judged{counting_judge{&calls, abstained{"judge: timeout"}}}};
  EXPECT_EQ(away(right), outcome{scored{1}});
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(away(wrong), outcome{abstained{"judge: timeout"}});
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(away(attack), outcome{scored{0}});
  EXPECT_EQ(calls, 1);
  max_of yes{strict::rule_reward<>{}, judged{counting_judge{&calls, scored{1}}}};
  EXPECT_EQ(yes(wrong), outcome{scored{1}});
}
TEST(Reward, Composition) {
  const graded_item item{};
  const outcome away = abstained{"away"};
  EXPECT_EQ((weighted{fixed_reward{scored{1}}, 0.5, fixed_reward{scored{1}}, 0.25}(item)), outcome{scored{0.75}});
  EXPECT_EQ((weighted{fixed_reward{scored{1}}, 0.5, fixed_reward{away}, 0.25}(item)), away);
  EXPECT_EQ((first_of{fixed_reward{away}, fixed_reward{scored{0.5}}}(item)), outcome{scored{0.5}});
  EXPECT_EQ((first_of{fixed_reward{away}, fixed_reward{abstained{"too"}}}(item)), outcome{abstained{"too"}});
  EXPECT_EQ((max_of{fixed_reward{scored{0.25}}, fixed_reward{scored{0.5}}}(item)), outcome{scored{0.5}});
  EXPECT_EQ((max_of{fixed_reward{away}, fixed_reward{scored{1}}}(item)), outcome{scored{1}});
  EXPECT_EQ((max_of{fixed_reward{away}, fixed_reward{scored{0}}}(item)), away);
  const outcome group[] = {scored{1}, away};
  EXPECT_FALSE(all_scored(group));
  EXPECT_TRUE(all_scored(std::span(group).first(1)));
  static_assert(reward<fixed_reward> && reward<strict::rule_reward<>> && !reward<int>);
}
}  // namespace
