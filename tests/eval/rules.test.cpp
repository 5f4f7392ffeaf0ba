// SPDX-License-Identifier: Apache-2.0
#include <ql/eval/rules.hpp>

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "eval/support/goldens.hpp"
#include "rl/support/jsonl.hpp"
#include "support/data.hpp"

namespace {
using namespace ql::eval;
using ql::rl::answer_kind;

double score(rule_mode mode, answer_kind kind, const std::string& response, const std::vector<std::string_view>& gold) {
  return ql::rl::value_or(rule_score(mode, {"", response, gold, kind}), -1);
}
double repo(answer_kind kind, const std::string& response, std::string_view gold) {
  return score(rule_mode::repo_eval, kind, response, {gold});
}

TEST(EvaluationRules, AsTheReleasedEvaluation) {
  const auto rows = ql::test::read_jsonl_gz(ql::test::data_file("judge/released_rule_scores.jsonl.gz").string());
  ASSERT_EQ(rows.size(), ql::test::goldens::released.size());
  int compared = 0, differ = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const char mark = ql::test::goldens::released[i];
    if (mark == '-') continue;
    const auto& r = rows[i];
    const double want = mark == 'e' ? -1 : mark - '0';
    const double got =
        repo(r["kind"] == "numeric" ? answer_kind::numeric : answer_kind::text, r["response"], r["gold"]);
    ++compared;
    if (got != want) {
      ++differ;
      ADD_FAILURE() << r["kind"] << "\n"
                    << r["response"] << "\nGOLD " << r["gold"] << "\nwant " << want << " got " << got;
    }
  }
  EXPECT_EQ(differ, 0);
  EXPECT_GT(compared, 500);
}

TEST(EvaluationRules, RepoDiffersFromTraining) {
  // no </think>: the whole response counts
  EXPECT_EQ(repo(answer_kind::text, "the answer is Paris", "Paris"), 1);
  EXPECT_EQ(repo(answer_kind::text, "the answer is Paris</think>", "Paris"), 1);  // nothing behind it: as if missing
  EXPECT_EQ(repo(answer_kind::text, "the answer is Paris</think> no idea", "Paris"), 0);
  // parentheses are dropped, every power of ten passes, two decimals
  EXPECT_EQ(repo(answer_kind::numeric, "the answer is (32.4)", "32.4"), 1);
  EXPECT_EQ(repo(answer_kind::numeric, "the answer is 50", "5"), 1);
  EXPECT_EQ(repo(answer_kind::numeric, "the answer is -32.4", "32.4"), 1);
  EXPECT_EQ(repo(answer_kind::numeric, "the answer is 0.0042", "0.0089"), 1);
  EXPECT_EQ(repo(answer_kind::numeric, "the answer is 0.012", "0.009"), 0);
  // the released code ends here
  EXPECT_EQ(repo(answer_kind::numeric, "the answer is 1", "True"), -1);
  EXPECT_EQ(repo(answer_kind::numeric, "nothing", "True"), 0);
  // the first gold answer alone
  EXPECT_EQ(score(rule_mode::repo_eval, answer_kind::text, "the answer is NYC", {"New York", "NYC"}), 0);
  EXPECT_EQ(repo(answer_kind::choice, "The correct answer is (B)", "B"), 1);
  EXPECT_EQ(repo(answer_kind::choice, "The correct answer is (B)", "The correct answer is (B)"), 1);
  EXPECT_EQ(score(rule_mode::repo_eval, answer_kind::text, "x", {}), -1);
  EXPECT_EQ(repo(answer_kind::numeric, "the answer is " + std::string(400, '9'), "5"), 0);
}

TEST(EvaluationRules, StrictReadsTheWholeResponse) {
  const auto strict = [](answer_kind kind, const std::string& response, const std::vector<std::string_view>& gold) {
    return score(rule_mode::strict_eval, kind, response, gold);
  };
  EXPECT_EQ(strict(answer_kind::text, "Therefore, the answer is NYC.", {"New York", "NYC"}), 1);
  EXPECT_EQ(strict(answer_kind::text, "Paris? </think> Therefore, the answer is Rome.", {"Paris"}), 0);
  EXPECT_EQ(strict(answer_kind::text, "the answer is e", {"Steve Jobs"}), 0);
  EXPECT_EQ(strict(answer_kind::numeric, "the answer is -32.4", {"32.4"}), 0);
  EXPECT_EQ(strict(answer_kind::numeric, "the answer is 50", {"5"}), 0);
  EXPECT_EQ(strict(answer_kind::choice, "The correct answer is (B)", {"B"}), 1);
  EXPECT_EQ(strict(answer_kind::text, "", {"Paris"}), 0);
}

TEST(EvaluationRules, Answers) {
  using opt = std::optional<std::string>;
  EXPECT_EQ(answer_of(rule_mode::repo_eval, answer_kind::text, "x</think>the answer is *Rome*."), opt("Rome"));
  EXPECT_EQ(answer_of(rule_mode::repo_eval, answer_kind::text, "Rome"), std::nullopt);
  EXPECT_EQ(answer_of(rule_mode::repo_eval, answer_kind::numeric, "The answer is $1,234.5."), opt("1234.5"));
  EXPECT_EQ(answer_of(rule_mode::repo_eval, answer_kind::choice, "The correct answer is (C)"), opt("C"));
  EXPECT_EQ(answer_of(rule_mode::strict_eval, answer_kind::text, "I think Rome"), opt("I think Rome"));
  EXPECT_EQ(answer_of(rule_mode::strict_eval, answer_kind::text, "so \\boxed{Rome} it is"), opt("Rome"));
  EXPECT_EQ(answer_of(rule_mode::strict_eval, answer_kind::text, "x</think>The answer is: Rome."), opt("Rome"));
  EXPECT_EQ(answer_of(rule_mode::strict_eval, answer_kind::text, "x</think> "), std::nullopt);
}
}  // namespace
