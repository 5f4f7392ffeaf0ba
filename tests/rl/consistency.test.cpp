// SPDX-License-Identifier: Apache-2.0
// Recipes that were found in the wild and cannot mean what they say: one test for each, in the order of the table in
// docs/algorithms.md. Where types know enough it is a static_assert here or a file in tests/negative.
#include <ql/rl/advantage.hpp>
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/consistency.hpp>
#include <ql/rl/correction.hpp>
#include <ql/rl/entropy.hpp>
#include <ql/rl/kl.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/presets.hpp>
#include <ql/rl/token_advantage.hpp>

#include <gtest/gtest.h>

#include <string>
#include <type_traits>

namespace {
using namespace ql::rl;
using ql::distribution;
using ql::support_rule;

// The same rules at construction: which keys does a configuration break?
template <class X>
std::string complaint(const X& x) {
  try {
    expects_valid(x);
    return "";
  } catch (const ql::argument_error& e) {
    return e.what();
  }
}
template <class X>
void refused(const X& x, const std::string& key) {
  EXPECT_NE(complaint(x).find(key + " = "), std::string::npos) << complaint(x);
  EXPECT_FALSE(valid(x));
}

TEST(Consistency, AClipWidthIsNoCap) {
  static_assert(!std::is_convertible_v<double, ratio_cap>);  // also tests/negative/rl_cispo_clip_width.cpp
  EXPECT_THROW((void)ratio_cap{0.2}, ql::argument_error);
  EXPECT_THROW((void)(cispo{.cap = ratio_cap{0.99}}), ql::argument_error);
}
TEST(Consistency, SequenceRatiosHaveWidthsOfTheirOwn) {
  static_assert(gspo{}.low == 3e-4 && gspo{}.high == 4e-4 && valid(gspo{}));
  refused(gspo{.low = 0.2, .high = 0.2}, "gspo.low");
  refused(gspo_token{.low = 3e-4, .high = 0.2}, "gspo.high");
  refused(luspo{gspo{.high = 0.2}}, "gspo.high");
  static_assert(valid(gspo{.low = 0.2, .high = 0.2, .allow_wide = true}));
}
TEST(Consistency, SequenceLossesHaveOneAggregation) {
  static_assert(!aggregation_for<token_mean, gspo> && aggregation_for<sequence_mean_token_mean, gspo>);
  static_assert(!aggregation_for<token_mean, sapo> && !aggregation_for<prompt_mean, gmpo>);
  static_assert(!aggregation_for<token_mean, kl_penalized<corrected<gspo, token_tis>, k3>>);
  static_assert(aggregation_for<token_mean, clip> && aggregation_for<prompt_mean, entropy_bonus<clip>>);
}
template <class A>
concept has_gamma = requires(A a) { a.gamma; };
TEST(Consistency, NothingIsResetBehindOnesBack) {
  // Estimators of one reward a sequence have no discount that a system could reset to 1.
  static_assert(!has_gamma<grpo_advantage> && !has_gamma<rloo_advantage> && !has_gamma<reinforce_pp_baseline>);
  static_assert(has_gamma<reinforce_pp> && has_gamma<gae>);
  refused(reinforce_pp{.gamma = 0}, "reinforce_pp.gamma");
}
TEST(Consistency, NoReferenceForNothing) {
  static_assert(!needs_reference<clip> && needs_reference<kl_penalized<clip, k3>>);
  refused(kl_penalized{clip{}, k3{}, 0.0}, "kl_penalized.coefficient");
  auto facts = facts_of(clip{}, grpo_advantage{});
  static_assert(valid(facts_of(clip{}, grpo_advantage{})));
  facts.loads_reference = true;
  refused(facts, "loads_reference");
  facts = facts_of(kl_penalized{clip{}, k3{}, 0.01}, grpo_advantage{});
  EXPECT_TRUE(facts.loads_reference && valid(facts));
  facts.loads_reference = false;
  refused(facts, "loads_reference");
}
TEST(Consistency, ScoredAsItIsSampled) {
  auto facts = facts_of(clip{}, grpo_advantage{});
  facts.sampled = {.temperature = 0.7, .top_p = 0.95};
  refused(facts, "scored.temperature");
  facts.scored = {.temperature = 0.7};  // declared: untruncated scores, the gap is logged
  EXPECT_EQ(complaint(facts), "");
  facts.scored = facts.sampled;
  EXPECT_EQ(complaint(facts), "");
  facts.scored.top_p = 0.5;
  refused(facts, "scored.rule");
  facts.sampled = facts.scored = {.temperature = 0.7, .top_k = 50, .rule = support_rule::frozen};
  EXPECT_EQ(complaint(facts), "");
  facts.scored = {.temperature = 0.7};  // the recorded log-probs are over 50 ids
  refused(facts, "scored.rule");
  facts.corrected = true;
  EXPECT_EQ(complaint(facts), "");
}
TEST(Consistency, InexactPoliciesAreCorrected) {
  static_assert(!correction_for<no_correction, false>);
  auto facts = facts_of(clip{}, grpo_advantage{});
  facts.exact_policy = false;
  refused(facts, "corrected");
  auto mended = facts_of(corrected{clip{}, token_tis{}}, grpo_advantage{});
  mended.exact_policy = false;
  EXPECT_EQ(complaint(mended), "");
}
template <class Kl>
concept usable_loss = detail::legal_as_loss<Kl>();
TEST(Consistency, K1IsNoLoss) {  // also tests/negative/rl_k1_as_loss.cpp, rl_k1_applied.cpp
  static_assert(!usable_loss<k1> && usable_loss<score_function<k1>> && usable_loss<k2> && usable_loss<k3>);
}
TEST(Consistency, AGroupOfOneIsAChoice) {
  auto facts = facts_of(clip{}, grpo_advantage{});
  facts.group_size = 1;
  refused(facts, "group_size");
  facts = facts_of(clip{}, presets::verl::grpo);
  facts.group_size = 1;
  EXPECT_EQ(complaint(facts), "");
  facts = facts_of(clip{}, remax_advantage{});  // compares with the greedy answer
  facts.group_size = 1;
  EXPECT_EQ(complaint(facts), "");
}
TEST(Consistency, OnPolicyEstimatorsStayOnPolicy) {
  auto facts = facts_of(reinforce{}, opo_advantage{});
  EXPECT_EQ(complaint(facts), "");
  facts.updates_per_batch = 4;
  refused(facts, "updates_per_batch");
  refused(facts_of(entropy_bonus{reinforce{}, 0.001}, opo_advantage{}), "penalised");
}
TEST(Consistency, AllBrokenRulesAreNamedAtOnce) {
  update_facts facts;
  facts.scored.temperature = 0.5, facts.exact_policy = false, facts.group_size = 0, facts.loads_reference = true;
  const std::string text = complaint(facts);
  for (const char* key : {"scored.temperature = ", "corrected = ", "group_size = ", "loads_reference = "})
    EXPECT_NE(text.find(key), std::string::npos) << key;
  EXPECT_EQ(complaint(clip{.low = 1.5, .high = -1}),
            "clip.low = 1.500000: expected a width in [0, 1); use 0.2\n"
            "clip.high = -1.000000: expected a width of at least 0; use 0.2 or 0.28");
}
}  // namespace
