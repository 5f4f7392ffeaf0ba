// SPDX-License-Identifier: Apache-2.0
#include <ql/data/document_qa.hpp>
#include <ql/text/chat_template.hpp>
#include <ql/text/tokenizer.hpp>

#include "io/folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace {

using namespace ql::data;
using ql::argument_error;
using ql::token;

TEST(PromptTemplate, HoldsContextAndQuestion) {
  const auto t = prompt_template::qwenlong_l1();
  EXPECT_EQ(t.render(" A {question} doc.\n", "\nWho {context}? "),
            "Please read the following text and answer the question below.\n\n<text>\nA {question} doc.\n</text>\n\n"
            "Who {context}?\n\nFormat your response as follows: \"Therefore, the answer is (insert answer here)\".");
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "\"The correct answer is (insert answer here)\".",
                      prompt_template::qwenlong_l1_choice().text());
  EXPECT_EQ(prompt_template("{question}|{context}!").render("c", "q"), "q|c!");
  QL_EXPECT_MESSAGE(prompt_template("{context}"), argument_error, "{question} exactly once, got 0 times");
  QL_EXPECT_MESSAGE(prompt_template("{question}"), argument_error, "{context} exactly once, got 0 times");
  QL_EXPECT_MESSAGE(prompt_template("{context}{question}{question}"), argument_error, "got 2 times");
}

qa_example example(const std::string& context, const std::string& question) {
  qa_example e;
  e.id = "e";
  e.context = context;
  e.question = question;
  e.answers = {"x"};
  return e;
}

TEST(PromptTemplate, RendersTheChatTemplate) {
  const auto t = prompt_template::qwenlong_l1();
  const auto e = example("doc", "Who?");
  EXPECT_EQ(render_prompt(e, t).text, t.render("doc", "Who?"));
  const ql::text::chat_template chat("{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<think>");
  const auto p = render_prompt(e, t, &chat);
  EXPECT_EQ(p.text, "<user>" + t.render("doc", "Who?") + "<think>");
  EXPECT_TRUE(p.opens_thinking);
  const ql::text::chat_template deaf("{% for m in messages %}{{ m.role }}{% endfor %}");
  QL_EXPECT_MESSAGE(render_prompt(e, t, &deaf), argument_error, "prompt of \"e\": the question is not in it: \"Who?\"");
}

TEST(Truncation, KeepsBothEnds) {
  EXPECT_EQ(truncate_middle(std::vector<token>{1, 2, 3, 4, 5}, 2), (std::vector<token>{1, 5}));
  EXPECT_EQ(truncate_middle(std::vector<token>{1, 2, 3, 4, 5}, 3), (std::vector<token>{1, 4, 5}));
  EXPECT_EQ(truncate_middle(std::vector<token>{1, 2, 3}, 3), (std::vector<token>{1, 2, 3}));
  EXPECT_EQ(truncate_middle(std::vector<token>{1, 2, 3}, 0), (std::vector<token>{}));
  std::vector<token> ids(150'000);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<token>(i);
  const auto cut = truncate_middle(ids, 120'000);
  ASSERT_EQ(cut.size(), 120'000u);
  EXPECT_EQ(cut[59'999], 59'999);
  EXPECT_EQ(cut[60'000], 90'000);
  EXPECT_EQ(cut.back(), 149'999);
}

// Words are tokens: lengths can be counted by eye.
ql::text::tokenizer words() {
  return ql::text::tokenizer::from_json(
      R"({"pre_tokenizer": {"type": "WhitespaceSplit"}, "added_tokens": [],
          "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2, "who": 3, "end": 4}}})");
}

TEST(Lengths, AreFiltered) {
  const prompt_template t("{context} {question} end");
  const std::vector<qa_example> set{example("a", "who"), example("a b", "who"), example("a b a b", "who"),
                                    example("a a b b b b", "who")};
  const auto at = [](const prompt_set& s) {
    std::vector<std::size_t> out;
    for (const auto& p : s.prompts) out.push_back(p.example);
    return out;
  };
  const auto all = tokenize(set, t, nullptr, words(), {}, 1);
  EXPECT_EQ(at(all), (std::vector<std::size_t>{0, 1, 2, 3}));
  EXPECT_EQ(all.prompts[1].ids, (std::vector<token>{1, 2, 3, 4}));
  EXPECT_EQ(all.prompts[3].length, 8);
  // 3 < |prompt| <= 6: of 3, 4, 6 and 8 tokens
  const auto some = tokenize(set, t, nullptr, words(), {.longer_than = 3, .at_most = 6}, 1);
  EXPECT_EQ(at(some), (std::vector<std::size_t>{1, 2}));
  EXPECT_EQ(some.too_short, 1);
  EXPECT_EQ(some.too_long, 1);
  const auto cut = tokenize(set, t, nullptr, words(),
                            {.longer_than = 3, .at_most = 6, .too_long = length_limits::excess::truncate}, 1);
  EXPECT_EQ(at(cut), (std::vector<std::size_t>{1, 2, 3}));
  EXPECT_EQ(cut.prompts[2].ids, (std::vector<token>{1, 1, 2, 2, 3, 4}));  // a a b ... b who end: first and last three
  EXPECT_EQ(cut.prompts[2].length, 8);
  EXPECT_EQ(cut.truncated, 1);
  const prompt_template in_the_middle("{context} {question} end end end end");
  QL_EXPECT_MESSAGE(tokenize(set, in_the_middle, nullptr, words(),
                             {.longer_than = 3, .at_most = 6, .too_long = length_limits::excess::truncate}, 1),
                    argument_error, "truncation swallows it");
  QL_EXPECT_MESSAGE(tokenize(set, t, nullptr, words(), {.longer_than = 8, .at_most = 9}, 1), argument_error,
                    "got 4 of 3 to 8 tokens");
  QL_EXPECT_MESSAGE(tokenize({}, t, nullptr, words(), {}, 1), argument_error, "no example at all");
  QL_EXPECT_MESSAGE(tokenize(set, t, nullptr, words(), {.longer_than = 8, .at_most = 8}, 1), argument_error,
                    "got 8, 8");
}

// A document does not end its turn by writing the name of a special token.
TEST(Lengths, DocumentsHoldNoSpecialTokens) {
  const auto t = ql::text::tokenizer::from_json(
      R"({"pre_tokenizer": {"type": "WhitespaceSplit"},
          "added_tokens": [{"id": 5, "content": "<end>", "special": true}, {"id": 6, "content": "<plain>"}],
          "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2, "who": 3, "x": 4}}})");
  const ql::text::chat_template chat("{% for m in messages %}<end> {{ m.content }} <end> x{% endfor %}");
  const prompt_template form("{context} b {question}");
  const std::vector<qa_example> set{example("a", "who"), example("a <end> <plain> a", "who"), example("a", "who <end>"),
                                    example("who", "who")};
  const auto safe = tokenize(set, form, &chat, t, {}, 1);
  EXPECT_EQ(safe.disarmed, 2);
  EXPECT_EQ(safe.prompts[0].ids, (std::vector<token>{5, 1, 2, 3, 5, 4}));
  EXPECT_EQ(safe.prompts[1].ids, (std::vector<token>{5, 1, 0, 6, 1, 2, 3, 5, 4}));
  EXPECT_EQ(safe.prompts[2].ids, (std::vector<token>{5, 1, 2, 3, 0, 5, 4}));
  EXPECT_EQ(safe.prompts[3].ids, (std::vector<token>{5, 3, 2, 3, 5, 4}));
  const auto as_released = tokenize(set, form, &chat, t, {}, 1, special_names::tokens);
  EXPECT_EQ(as_released.disarmed, 0);
  EXPECT_EQ(as_released.prompts[1].ids, (std::vector<token>{5, 1, 5, 6, 1, 2, 3, 5, 4}));
  // A row's own messages are no better.
  auto own = set[1];
  own.messages = {{"user", "a <end> b who"}};
  const auto messages = tokenize(std::vector{own}, form, &chat, t, {}, 1);
  EXPECT_EQ(messages.prompts[0].ids, (std::vector<token>{5, 1, 0, 2, 3, 5, 4}));
  // Cut in the middle, where taking one name out makes another.
  const std::vector<qa_example> sly{example("<e<end>nd> a a a a a", "who")};
  const auto cut = tokenize(sly, form, &chat, t, {.at_most = 6, .too_long = length_limits::excess::truncate}, 1);
  EXPECT_EQ(cut.truncated, 1);
  EXPECT_EQ(std::count(cut.prompts[0].ids.begin(), cut.prompts[0].ids.end(), 5), 2);
}

}  // namespace
