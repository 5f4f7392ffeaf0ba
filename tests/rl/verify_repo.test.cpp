// SPDX-License-Identifier: Apache-2.0
#include <ql/rl/verify_repo.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "rl/support/jsonl.hpp"
#include "support/data.hpp"

namespace {
using namespace ql::rl;

double repo_score(answer_kind kind, const std::string& response, const std::string& gold) {
  const std::string_view golds[] = {gold};
  return value_or(repo::rule_reward{}({"", response, golds, kind}), -1.0);
}

TEST(RepoRules, ReleasedScores) {
  const auto rows = ql::test::read_jsonl_gz(ql::test::data_file("judge/released_rule_scores.jsonl.gz").string());
  ASSERT_EQ(rows.size(), 900u);
  int differ = 0;
  for (const auto& r : rows) {
    const auto& k = r["kind"];
    const auto kind = k == "numeric" ? answer_kind::numeric : k == "text" ? answer_kind::text : answer_kind::choice;
    const double want = r.has("error") ? -1.0 : std::stod(r["score"]);
    const double got = repo_score(kind, r["response"], r["gold"]);
    if (got != want) {
      ++differ;
      ADD_FAILURE() << k << "\n" << r["response"] << "\nGOLD " << r["gold"] << "\nwant " << want << " got " << got;
    }
  }
  EXPECT_EQ(differ, 0);
}

double numeric(const std::string& answer, const std::string& gold) {
  return repo_score(answer_kind::numeric, "x </think> the answer is " + answer,
                    "Therefore, the answer is " + gold + ".");
}
TEST(RepoRules, NumericVectors) {
  for (const auto& [p, g, want] :
       std::vector<std::tuple<std::string, std::string, int>>{{"32.4", "32.4", 1},
                                                              {"$32.4 million", "32.4", 1},
                                                              {"(32.4)", "32.4", 0},
                                                              {"\\boxed{32.4}", "32.4", 0},
                                                              {"-32.4", "32.4", 1},
                                                              {"324", "32.4", 1},
                                                              {"50", "5", 0},
                                                              {"500", "5", 1},
                                                              {"5000", "5", 1},
                                                              {"7", "70", 1},
                                                              {"0.3", "30", 1},
                                                              {"12.34%", "0.1234", 1},
                                                              {"1,234", "1234", 1},
                                                              {"-$5", "-5", 0},
                                                              {"$-5", "-5", 1},
                                                              {"5e3", "5000", 1},
                                                              {"0", "0", 1},
                                                              {"0.0004", "0.001", 1},
                                                              {"0.00049", "0", 0},
                                                              {"32.44", "32.4", 1},
                                                              {"32.5", "32.4", 0},
                                                              {"1.2.3", "0", 1},
                                                              {"five", "5", 0},
                                                              {" 5", "5", 0},
                                                              {"12 or 13", "12", 1},
                                                              {"07", "7", 0},
                                                              {"4. Wait, the answer is 5.", "5", 0}})
    EXPECT_EQ(numeric(p, g), want) << p << " / " << g;
  EXPECT_EQ(repo_score(answer_kind::numeric, "the answer is 5", "the answer is 5"), 0);
  EXPECT_EQ(repo_score(answer_kind::numeric, "</think> the answer is 5", "the answer is True"), -1);
}
TEST(RepoRules, TextVectors) {
  const auto text = [](const std::string& answer, const std::string& gold) {
    return repo_score(answer_kind::text, "x </think> the answer is " + answer,
                      "Therefore, the answer is " + gold + ".");
  };
  EXPECT_EQ(text("Par", "Paris"), 1);
  EXPECT_EQ(text("e", "Steve Jobs"), 1);
  EXPECT_EQ(text("the", "Steve Jobs"), 1);
  EXPECT_EQ(text("!", "Steve"), 1);
  EXPECT_EQ(text("...", "Steve"), 0);
  EXPECT_EQ(text("no", "Norway"), 1);
  EXPECT_EQ(text("yes", "no"), 0);
  EXPECT_EQ(text("Rome. Wait, the answer is Paris", "Paris"), 1);
  EXPECT_EQ(text("Paris<\uFF5Cend\u2581of\u2581sentence\uFF5C>", "Paris"), 1);
  EXPECT_EQ(text("\u00C9COLE", "\u00E9cole"), 1);
  EXPECT_EQ(text("\u039F\u0394\u039F\u03A3", "\u03BF\u03B4\u03BF\u03C2"), 1);  // final sigma
  EXPECT_EQ(repo_score(answer_kind::text, "</think> The Answer Is Paris", "the answer is Paris"), 0);
}
TEST(RepoRules, ChoiceVectors) {
  const auto choice = [](const std::string& answer, const std::string& gold) {
    return repo_score(answer_kind::choice, "x </think> " + answer, gold);
  };
  const std::string b = "The correct answer is (B)";
  EXPECT_EQ(choice("The correct answer is (B)", b), 1);
  EXPECT_EQ(choice("the correct answer is (B)", b), 0);
  EXPECT_EQ(choice("**The correct answer is (B)**", b), 1);
  EXPECT_EQ(choice("The correct answer is (insert B)", b), 0);
  EXPECT_EQ(choice("The correct answer is Both", b), 1);
  EXPECT_EQ(choice("The correct answer is (B)", "B"), 0);
}
TEST(RepoRules, Log10AsTheReleasedCodeRoundsIt) {
  EXPECT_NE(ql::rl::detail::fdlibm_log10(50) - ql::rl::detail::fdlibm_log10(5), 1.0);
  EXPECT_EQ(ql::rl::detail::fdlibm_log10(500) - ql::rl::detail::fdlibm_log10(5), 2.0);
  int differ = 0;
  for (int i = 1; i <= 20000; ++i) {
    const double x = i * 0.37;
    differ += ql::rl::detail::fdlibm_log10(x) != std::log10(x) ? 1 : 0;
  }
  EXPECT_LE(differ, 10);  // of the C library at hand; its log is itself not always correctly rounded
}
TEST(RepoRules, BoundedOnHostileInput) {
  const std::string bad = "\xF0\x28\x8C\x28 </think> the answer is \xFF\xFE";
  EXPECT_EQ(repo_score(answer_kind::text, bad, "the answer is x"), 0);
  const std::string big = "</think> " + std::string(1 << 20, 'a');
  EXPECT_EQ(repo_score(answer_kind::text, big, "the answer is b"), 0);
  std::string many = "</think>";
  for (int i = 0; i < 50000; ++i) many += " the answer is ";
  EXPECT_EQ(repo_score(answer_kind::numeric, many, "the answer is 5"), 0);
  EXPECT_EQ(repo_score(answer_kind::numeric, "</think> the answer is " + std::string(100000, '9'), "the answer is 5"),
            0);
  EXPECT_EQ(repo_score(answer_kind::choice, many, "The correct answer is (A)"), 0);
}
}  // namespace
