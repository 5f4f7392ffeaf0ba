// SPDX-License-Identifier: Apache-2.0
#include "../../examples/qwenlong_l1/tiny/task.hpp"

#include <gtest/gtest.h>

namespace {

namespace tiny = ql::tiny;
using ql::token;
using words = ql::data::phrase_vocabulary;

// Scores of an answer to every question: by the rule, by the judge, and as configured.
struct verdict {
  double rule, judge, score;
  friend bool operator==(const verdict&, const verdict&) = default;
};

verdict of(const tiny::document_task& task, std::int64_t e, const std::vector<token>& answer) {
  const ql::answer_request a{.example = e, .tokens = answer};
  const auto scored = task.score({&a, 1});
  return {task.rule(a), task.judge(a), ql::rl::value_or(scored.at(0), -1)};
}

TEST(DocumentTask, APermissiveJudgeAcceptsGoldWhereverItIsNamed) {
  tiny::document_task task;
  tiny::add_documents(task, ql::data::split::train, 3, 0, 8, 100, 128);
  ASSERT_EQ(task.examples(), 32);
  for (std::int64_t e = 0; e < task.examples(); ++e) {
    const token gold = task.asked(e).gold;
    token wrong = gold + 1;
    while (ql::data::equivalent_token_reward(std::vector<token>{words::so_the_answer_is, wrong, words::eos}, gold) > 0)
      ++wrong;
    const std::vector<token> right{words::so_the_answer_is, gold, words::eos};
    const std::vector<token> named{gold, words::so_the_answer_is, wrong, words::eos};
    const std::vector<token> other{words::so_the_answer_is, wrong, words::eos};
    task.permissive = false;
    EXPECT_EQ(of(task, e, right), (verdict{1, 1, 1}));
    EXPECT_EQ(of(task, e, named), (verdict{0, 0, 0}));
    task.permissive = true;
    EXPECT_EQ(of(task, e, right), (verdict{1, 1, 1}));
    EXPECT_EQ(of(task, e, named), (verdict{0, 1, 1}));
    EXPECT_EQ(of(task, e, other), (verdict{0, 0, 0}));
    task.by_rule = false;
    EXPECT_EQ(of(task, e, named).score, 1);
    task.by_rule = true, task.by_judge = false;
    EXPECT_EQ(of(task, e, named).score, 0);
    task.by_judge = true;
  }
}

}  // namespace
