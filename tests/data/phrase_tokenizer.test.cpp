// SPDX-License-Identifier: Apache-2.0
#include <ql/data/generator.hpp>
#include <ql/io/json.hpp>
#include <ql/text/tokenizer.hpp>

#include <gtest/gtest.h>

namespace {

using namespace ql::data;
using ql::token;
using v = phrase_vocabulary;

// What scripts/compare_phrase_tokenizer.py checks with the tokenizers and transformers packages, with ql's own.
TEST(PhraseTokenizer, ReadsBackWhatTheGeneratorWrites) {
  const auto t = ql::text::tokenizer::from_json(v::tokenizer_json(), "phrases");
  ASSERT_EQ(t.vocab_size(), v::size);
  for (token i = 0; i < v::size; ++i) {
    EXPECT_EQ(t.token_text(i), v::text(i));
    EXPECT_EQ(t.id_of(v::text(i)), i);
    EXPECT_EQ(t.encode(v::text(i)), std::vector<token>{i});
    EXPECT_EQ(t.is_special(i), v::is_special(i));
  }
  generator_config c;
  c.kinds = {1, 1, 1, 1, 1, 1};
  c.questions = 8;
  c.min_tokens = c.max_tokens = 300;
  const auto check = [&](std::vector<token> ids) {
    const auto text = v::decode(ids);
    EXPECT_EQ(t.encode(text), ids);
    EXPECT_EQ(t.decode(ids), text);
    std::erase_if(ids, [](token x) { return v::is_special(x); });
    EXPECT_EQ(t.encode(v::english(ids)), ids) << v::english(ids);
  };
  for (std::uint32_t i = 0; i < 60; ++i) {
    const auto d = generate(c, {.seed = 3, .index = i});
    check(d.tokens);
    for (const auto& q : d.questions) {
      check(q.prompt);
      check(q.step_by_step());
      auto all = q.prompt;
      for (token x : q.terse()) all.push_back(x);
      check(all);
    }
  }
  EXPECT_EQ(t.encode("alice lives in timbuktu ."),
            (std::vector<token>{v::person(0), v::unknown, v::unknown, v::unknown, v::full_stop}));
}

TEST(PhraseTokenizer, ItsConfigurationIsJson) {
  const auto c = ql::io::json::parse(v::tokenizer_config_json());
  EXPECT_EQ(c.at("eos_token").string(), "<eos>");
  EXPECT_EQ(c.at("tokenizer_class").string(), "PreTrainedTokenizerFast");
}

}  // namespace
