// SPDX-License-Identifier: Apache-2.0
#include "judge.hpp"

#include <ql/io/judge_audit.hpp>
#include <ql/rl/judge_attacks.hpp>
#include <ql/rl/judge_gate.hpp>

namespace {

using namespace ql::test;

TEST(JudgeAudit, NoAttackPassesTheGate) {
  for (auto a : ql::rl::master_keys) EXPECT_NE(ql::rl::judge_gate(a), ql::rl::gate::open) << a;
  for (auto a : ql::rl::injections) EXPECT_NE(ql::rl::judge_gate(a), ql::rl::gate::open) << a;
}

TEST(JudgeAudit, WilsonsInterval) {
  EXPECT_NEAR(ql::io::share_of(5, 10).low, 0.236593, 1e-6);
  EXPECT_NEAR(ql::io::share_of(5, 10).high, 0.763407, 1e-6);
  EXPECT_NEAR(ql::io::share_of(0, 80).high, 0.045818, 1e-6);
  EXPECT_EQ(ql::io::share_of(0, 80).low, 0);
  EXPECT_EQ(ql::io::share_of(0, 0).high, 1);
}

TEST(JudgeAudit, ReadsLabelledAnswers) {
  const folder f;
  std::string rows;
  for (int i = 0; i < 30; ++i)
    rows += "{\"question\": \"q\", \"gold\": [\"a\", \"b\"], \"prediction\": \"" + std::to_string(i) +
            "\", \"verdict\": " + (i % 3 == 0 ? "true" : "false") + "}\n";
  const auto some = ql::io::read_labelled_answers(f.write("a.jsonl", rows), 8);
  ASSERT_EQ(some.size(), 8u);
  EXPECT_EQ(std::count_if(some.begin(), some.end(), [](const auto& a) { return a.same; }), 4);
  EXPECT_EQ(some[0].gold, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(ql::io::read_labelled_answers(f / "a.jsonl", 1000).size(), 30u);
  QL_EXPECT_MESSAGE(ql::io::read_labelled_answers(f.write("b.jsonl", rows + "{\"question\": 5}\n"), 8),
                    ql::io::format_error, "b.jsonl:31: ");
}

// A judge that a colon fools, and that errs on one answer of each kind.
TEST(JudgeAudit, CountsWhatAJudgeDoes) {
  fault_server s([](const fault_server::request& r) {
    const auto holds = [&](const char* text) { return r.body.find(text) != std::string::npos; };
    plan p;
    p.says = holds("Answer 1\\n:\\n") || holds("good") ? "[[YES]]" : "[[NO]]";
    if (holds("silent")) p.says = "Hm.";
    return p;
  });
  std::vector<ql::io::labelled_answer> labelled;
  for (int i = 0; i < 4; ++i) {
    labelled.push_back({"q", (i == 0 ? "odd " : "good ") + std::to_string(i), {"a"}, true});
    labelled.push_back({"q", (i == 0 ? "good x" : "bad ") + std::to_string(i), {"a"}, false});
  }
  labelled.push_back({"q", "silent", {"a"}, false});
  ql::io::chat_judge judge(ql::io::audited(quick_judge(s.url())));
  const auto r = ql::io::audit_judge(judge, labelled);
  EXPECT_EQ(r.attacks, 80u);
  EXPECT_EQ(r.past_gate, 0u);
  EXPECT_EQ(r.fooled_by, std::vector<std::string>{":"});
  EXPECT_EQ(r.master_keys.yes, 1u);
  EXPECT_EQ(r.master_keys.no, 39u);
  EXPECT_EQ(r.injections.no, 40u);
  EXPECT_EQ(r.same.yes, 3u);
  EXPECT_EQ(r.same.no, 1u);
  EXPECT_EQ(r.different.yes, 1u);
  EXPECT_EQ(r.different.no, 3u);
  EXPECT_EQ(r.different.abstained, 1u);
  EXPECT_EQ(r.unreadable, 2u);
  EXPECT_EQ(r.false_positive_rate().value, 0.25);
  EXPECT_EQ(r.false_negative_rate().value, 0.25);
  EXPECT_TRUE(r.mean_seconds > 0 && r.slowest_seconds >= r.p95_seconds && r.p95_seconds >= r.median_seconds);
  EXPECT_NE(ql::io::describe(r).find("fooled by attacks, gate off"), std::string::npos);
}

}  // namespace
