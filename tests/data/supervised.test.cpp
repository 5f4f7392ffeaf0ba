// SPDX-License-Identifier: Apache-2.0
#include <ql/data/supervised.hpp>
#include <ql/text/tokenizer.hpp>

#include "io/folder.hpp"
#include "support/data.hpp"

#include <gtest/gtest.h>

namespace {

using namespace ql::data;
using ql::argument_error;
using ql::token;

qa_example example(const std::string& reasoning) {
  qa_example e;
  e.id = "e";
  e.context = "c";
  e.question = "q";
  e.answers = {"Rome", "Roma"};
  e.reasoning = reasoning;
  return e;
}

TEST(Supervised, WritesTargets) {
  const target_format tags, plain = target_format::plain();
  EXPECT_EQ(target_text(example("It is so."), tags, false),
            "<think>\nIt is so.\n</think>\n\nTherefore, the answer is Rome.");
  EXPECT_EQ(target_text(example("It is so."), tags, true), "It is so.\n</think>\n\nTherefore, the answer is Rome.");
  EXPECT_EQ(target_text(example("<think>\nIt is so."), tags, false),
            "<think>\nIt is so.\n</think>\n\nTherefore, the answer is Rome.");
  EXPECT_EQ(target_text(example(""), tags, true), "\n</think>\n\nTherefore, the answer is Rome.");
  EXPECT_EQ(target_text(example("It is so."), plain, false), "It is so.\nTherefore, the answer is Rome.");
  EXPECT_EQ(target_text(example(""), plain, false), "Therefore, the answer is Rome.");
  QL_EXPECT_MESSAGE(target_text(example(""), {.answer = "Yes."}, false), argument_error, "{answer} once");
  QL_EXPECT_MESSAGE(target_text(example(""), {.answer = "{answer}{answer}"}, false), argument_error, "{answer} once");
  auto without = example("");
  without.answers.clear();
  QL_EXPECT_MESSAGE(target_text(without, tags, false), argument_error, "expected an answer, got none in \"e\"");
}

TEST(Supervised, StripsALeadingThink) {
  EXPECT_EQ(without_leading_think("<think>\nwhy"), "why");
  EXPECT_EQ(without_leading_think("<think>\r\nwhy"), "why");
  EXPECT_EQ(without_leading_think("\n <think>why"), "why");
  EXPECT_EQ(without_leading_think("why <think>\n"), "why <think>\n");
  EXPECT_EQ(without_leading_think("<think>\n<think>\nwhy"), "<think>\nwhy");
  EXPECT_EQ(without_leading_think(""), "");
}

TEST(Supervised, LossIsOnTheTarget) {
  const auto words = ql::text::tokenizer::from_json(
      R"({"pre_tokenizer": {"type": "WhitespaceSplit"}, "added_tokens": [],
          "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "c": 1, "q": 2, "so": 3, "Rome": 4}}})");
  const std::vector<qa_example> set{example("so so"), example("so so so so so so")};
  const auto prompts = tokenize(set, prompt_template("{context} {question}"), nullptr, words, {}, 1);
  const target_format format{"", "\n", "so {answer}"};
  const auto s = supervise(set, prompts.prompts, format, words, 9, 7);
  ASSERT_EQ(s.examples.size(), 1u);
  EXPECT_EQ(s.too_long, 1);
  EXPECT_EQ(s.examples[0].prompt, (std::vector<token>{1, 2}));
  EXPECT_EQ(s.examples[0].target, (std::vector<token>{3, 3, 3, 4, 9}));
  ql::token_tree t;
  const auto leaf = add_supervised(t, s.examples[0]);
  EXPECT_EQ(t[leaf].start, 2);
  EXPECT_EQ(t.loss_tokens(), 5);
  EXPECT_EQ(t[leaf].finish, ql::finish_reason::stop);
  QL_EXPECT_MESSAGE(supervise(set, prompts.prompts, format, words, 9, 4), argument_error,
                    "one of at most 4 tokens with its target, got 2 longer ones");
}

TEST(Supervised, TakesGeneratedDocuments) {
  const auto d = generate({}, {.seed = 1});
  const auto s = supervise(d, d.questions[1]);
  EXPECT_EQ(s.prompt.size(), 128 + d.questions[1].prompt.size());
  EXPECT_EQ(s.prompt.back(), phrase_vocabulary::answer);
  EXPECT_EQ(s.target, d.questions[1].target());
}

TEST(Supervised, WrittenChainsLeadToTheirAnswers) {
  const auto set = read_examples(ql::test::data_file("sft/cot_warmup.jsonl.gz"));
  ASSERT_EQ(set.examples.size(), 69u);
  for (const auto& e : set.examples) {
    const auto t = target_text(e, target_format::plain(), false);
    EXPECT_TRUE(t.starts_with(e.reasoning));
    EXPECT_TRUE(t.ends_with("Therefore, the answer is " + e.answers[0] + "."));
  }
}

}  // namespace
