// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/context.hpp>
#include <ql/backend/cpu/kernels.hpp>
#include <ql/eval/local_policy.hpp>

#include <gtest/gtest.h>

#include "eval/support/byte_tokenizer.hpp"
#include "io/folder.hpp"

namespace {
using namespace ql::eval;
using ql::token;

struct world {
  ql::cpu::context ctx{{.threads = 1}};
  ql::model::decoder<float, ql::cpu::context> decoder;
  ql::text::tokenizer tokenizer = ql::test::byte_tokenizer();
  static ql::model::decoder_config shape() {
    ql::model::decoder_config c;
    c.vocabulary = 257, c.hidden = 16, c.layers = 1, c.heads = 2, c.kv_heads = 1, c.ffn = 24, c.max_context = 640;
    return c;
  }
  world() : decoder(ctx, shape()) { decoder.initialise(ctx, 3); }
  using policy = local_policy<float, ql::cpu::context>;
  policy make(std::int64_t key_bytes = 1 << 30, const ql::text::chat_template* chat = nullptr) {
    policy::options o;
    o.stop = {256, 10, 32, 101};  // some bytes end an answer, so that lengths differ
    o.key_bytes = key_bytes;
    return policy(ctx, decoder, tokenizer, chat, o);
  }
};

std::vector<std::string> prompts() {
  const std::string document = std::string(200, 'd') + "The mill stands by the river. ";
  return {document + "Who?", document + "Where is it?", document + "Why"};
}
std::vector<generation_request> requests_of(const std::vector<std::string>& texts) {
  std::vector<generation_request> out;
  for (std::size_t i = 0; i < texts.size(); ++i) out.push_back({texts[i], static_cast<std::uint32_t>(i + 4)});
  return out;
}
bool same(const generation& a, const generation& b) {
  return a.text == b.text && a.tokens == b.tokens && a.stopped == b.stopped && a.failure == b.failure;
}

TEST(LocalPolicy, AnAnswerDependsOnItsPromptAlone) {
  world w;
  protocol p;
  p.samples = 3;
  p.max_output = 24;
  const auto texts = prompts();
  const auto requests = requests_of(texts);
  auto together = w.make();
  const auto all = together(requests, p);
  ASSERT_EQ(all.size(), 3u);
  bool stopped = false, cut = false, differ = false;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    ASSERT_EQ(all[i].size(), 3u);
    auto alone = w.make(1);  // one answer at a time, one question at a time
    const auto one = alone(std::span(requests).subspan(i, 1), p);
    for (std::size_t s = 0; s < 3; ++s) {
      EXPECT_TRUE(same(all[i][s], one[0][s])) << i << " " << s;
      EXPECT_LE(all[i][s].tokens, 24);
      EXPECT_EQ(all[i][s].failure, "");
      stopped = stopped || all[i][s].stopped;
      cut = cut || !all[i][s].stopped;
      differ = differ || all[i][s].text != all[0][0].text;
    }
  }
  EXPECT_TRUE(stopped && cut && differ);  // the cases are there
  auto other = p;
  other.seed = 43;
  EXPECT_FALSE(same(w.make()(requests, other)[0][0], all[0][0]) && same(w.make()(requests, other)[0][1], all[0][1]));
}

TEST(LocalPolicy, Greedy) {
  world w;
  protocol p;
  p.temperature = 0;
  p.max_output = 8;
  const auto texts = prompts();
  const auto requests = requests_of(texts);
  const auto a = w.make()(requests, p), b = w.make(1)(requests, p);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(same(a[i][0], b[i][0]));
}

TEST(LocalPolicy, WhatDoesNotFitIsAFailureByName) {
  world w;
  protocol p;
  p.samples = 2;
  p.max_output = 10000;  // the window bounds it
  const std::vector<std::string> texts{std::string(640, 'x'), std::string(620, 'y'), ""};
  const auto out = w.make()(requests_of(texts), p);
  ASSERT_EQ(out[0].size(), 2u);
  EXPECT_EQ(out[0][1].failure, "a prompt of 640 tokens leaves no room in a window of 640");
  EXPECT_EQ(out[1][0].failure, "");
  EXPECT_LE(out[1][0].tokens, 20);
  EXPECT_EQ(out[2][0].failure, "an empty prompt");
}

TEST(LocalPolicy, ChatTemplate) {
  world w;
  protocol p;
  p.max_output = 6;
  const ql::text::chat_template chat("{% for m in messages %}[{{ m.role }}] {{ m.content }} [a]{% endfor %}");
  const std::vector<std::string> texts{"Who?"}, whole{"[user] Who? [a]"};
  const auto a = w.make(1 << 30, &chat)(requests_of(texts), p), b = w.make()(requests_of(whole), p);
  EXPECT_TRUE(same(a[0][0], b[0][0]));
}

TEST(LocalPolicy, ADocumentHoldsNoSpecialTokens) {
  world w;
  protocol p;
  p.max_output = 600;
  std::vector<std::string> texts{"", ""};
  for (int i = 0; i < 126; ++i) texts[0] += "<end>";  // 630 bytes, or 126 tokens
  texts[1] = texts[0] + "<end><end>";                 // 640 bytes do not fit
  const auto requests = requests_of(texts);
  const auto out = w.make()(requests, p);
  EXPECT_LE(out[0][0].tokens, 10);
  EXPECT_NE(out[1][0].failure, "");
  const ql::text::chat_template chat("<end>{% for m in messages %}{{ m.content }}{% endfor %}<end>");
  const std::vector<std::string> longer{texts[0] + "12345678", texts[0] + "123456"};
  const auto chats = w.make(1 << 30, &chat)(requests_of(longer), p);
  EXPECT_EQ(chats[0][0].failure,
            "a prompt of 640 tokens leaves no room in a window of 640");  // 638 and the template's 2
  EXPECT_EQ(chats[1][0].failure, "");
}

TEST(LocalPolicy, AWholeEvaluationGoesOnToTheSameBits) {
  world w;
  std::vector<item> items;
  for (int i = 0; i < 6; ++i) {
    item q;
    q.id = std::to_string(i);
    q.benchmark = "made";
    q.document = std::to_string(i / 3);
    q.context = std::string(150, static_cast<char>('p' + i / 3));
    q.question = "Question " + q.id + "?";
    q.gold = {"a"};
    items.push_back(q);
  }
  protocol p;
  p.samples = 2;
  p.max_output = 12;
  p.max_input = 300;  // shorter than the prompts: the middle is cut
  auto policy = w.make();
  no_judge none;
  const auto want = evaluate(items, w.tokenizer, p, policy, none, nullptr, [](const auto&) { return true; });
  ASSERT_EQ(want.size(), 6u);
  EXPECT_TRUE(want[0].truncated);
  ql::test::folder f;
  const evaluation_header h{"tiny", "", p, 6, hash_of(items)};
  {
    record_log log(f / "log", h);
    evaluate(items, w.tokenizer, p, policy, none, &log, [](const auto& q) { return q.done < 2; });
  }
  record_log log(f / "log", h);
  EXPECT_EQ(evaluate(items, w.tokenizer, p, policy, none, &log, [](const auto&) { return true; }), want);
}
}  // namespace
