// SPDX-License-Identifier: Apache-2.0
#include <ql/eval/behaviours.hpp>

#include <gtest/gtest.h>

#include <vector>

namespace {
using namespace ql::eval;

TEST(Behaviours, CountsPhrases) {
  const auto c = count_behaviours(
      "First, I need to find the rate. According to Passage 12, it was 4 %. Wait, that's not right: the text says 5 %. "
      "Let me double-check. LET ME  VERIFY that.");
  EXPECT_EQ(c.grounding, 3);  // according to, passage 12, the text says
  EXPECT_EQ(c.subgoals, 2);   // first, / i need to find
  EXPECT_EQ(c.backtracking, 2);
  EXPECT_EQ(c.verification, 2);
  EXPECT_EQ(c.words, 31);
  EXPECT_EQ(c.facts, 0);
}
TEST(Behaviours, WholeWordsOnly) {
  const auto c = count_behaviours("The waiter awaits; passages 12; lookingat; makes sure; firstly2");
  EXPECT_EQ(c.backtracking, 0);
  EXPECT_EQ(c.grounding, 0);
  EXPECT_EQ(c.verification, 0);
  EXPECT_EQ(c.subgoals, 0);
  EXPECT_EQ(count_behaviours("wait").backtracking, 1);
  EXPECT_EQ(count_behaviours("that\xE2\x80\x99s\nwrong").backtracking, 1);
  EXPECT_EQ(count_behaviours("Wait wait wait").backtracking, 3);
  EXPECT_EQ(count_behaviours(""), behaviour_counts{});
}
TEST(Behaviours, EveryPhraseCountsForItself) {
  for (auto b : all_behaviours)
    for (auto p : phrases_of(b)) {
      std::string text(p);
      if (const auto at = text.find('#'); at != std::string::npos) text.replace(at, 1, "7");
      const auto c = count_behaviours("so " + text + " it is");
      const std::int64_t n[] = {c.grounding, c.subgoals, c.backtracking, c.verification};
      EXPECT_EQ(n[static_cast<std::size_t>(b)], 1) << p;
    }
}
TEST(Behaviours, QuotedEvidenceIsExact) {
  const std::vector<std::string> facts{"Alice lives in Oslo.", "Carol reports to Dan.", "Emma has 7 coins."};
  const auto c = count_behaviours("alice lives in oslo . carol reports to danny . so the answer is oslo", facts);
  EXPECT_EQ(c.quoted, 1);
  EXPECT_EQ(c.facts, 3);
  EXPECT_EQ(count_behaviours("Emma has\n7 coins", facts).quoted, 1);
  EXPECT_EQ(count_behaviours("", facts).quoted, 0);
  const std::vector<std::string> empty{"..."};
  EXPECT_EQ(count_behaviours("...", empty).quoted, 0);
}
}  // namespace
