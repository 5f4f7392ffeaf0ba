// SPDX-License-Identifier: Apache-2.0
#include <ql/data/haystack.hpp>
#include <ql/text/tokenizer.hpp>

#include "io/folder.hpp"
#include "support/data.hpp"

#include <gtest/gtest.h>

#include <set>

namespace {

using namespace ql::data;
using ql::argument_error;
using ql::io::format_error;
using ql::test::data_file;

TEST(Haystack, SplitsContextsAndJoinsThem) {
  const std::vector<passage> two{{"A", "one\n\ntwo"}, {"B", "three"}};
  const std::string text = "Passage 1:\nA\none\n\ntwo\n\nPassage 2:\nB\nthree";
  EXPECT_EQ(join_context(two), text);
  EXPECT_EQ(split_context(text), two);
  EXPECT_EQ(split_context("Passage of time"), (std::vector<passage>{{"", "Passage of time"}}));
  EXPECT_EQ(split_context("Passage 1:\nonly"), (std::vector<passage>{{"", "only"}}));
  for (const auto* file : {"docqa/hotpotqa", "docqa/musique", "docqa/2wikimultihopqa"})
    for (const auto& e : read_examples(data_file(std::string(file) + ".jsonl.gz")).examples) {
      const auto all = split_context(e.context);
      EXPECT_GT(all.size(), 1u);
      EXPECT_EQ(join_context(all), e.context);
    }
}

TEST(Haystack, ReadsPassages) {
  const ql::test::folder f;
  EXPECT_EQ(read_passages(f.write("a", "{\"title\": \"t\", \"text\": \"x\"}\n\n{\"text\": \"y\"}\n")),
            (std::vector<passage>{{"t", "x"}, {"", "y"}}));
  QL_EXPECT_MESSAGE(read_passages(f.write("b", "{}\n")), format_error, "b:1: expected {\"title\"");
  EXPECT_EQ(cut_passages(f.write("c", "\n\none\ntwo\n\nthree\n\n\nfour"), 6),
            (std::vector<passage>{{"", "one\ntwo"}, {"", "three"}, {"", "four"}}));
  EXPECT_EQ(read_passages(data_file("haystack/wiki_passages.jsonl.gz")).size(), 3708u);
  const auto verses = cut_passages(data_file("haystack/kjv_old_testament.txt.gz"));
  EXPECT_GT(verses.size(), 2500u);
  for (const auto& v : verses) EXPECT_LT(v.text.size(), 2000u);
}

TEST(Haystack, SurroundsTheEvidence) {
  const auto tokenizer = ql::text::tokenizer::from_gpt2(data_file("tokenizers/gpt2/vocab.json.gz").string(),
                                                        data_file("tokenizers/gpt2/merges.txt.gz").string());
  const haystack hay(read_passages(data_file("haystack/wiki_passages.jsonl.gz")), tokenizer);
  const auto set = read_examples(data_file("docqa/2wikimultihopqa.jsonl.gz")).examples;
  const auto whole = read_examples(data_file("docqa/narrativeqa.jsonl.gz")).examples;
  std::vector<qa_example> some(set.begin(), set.begin() + 12);
  some.insert(some.end(), whole.begin(), whole.begin() + 4);
  std::vector<int> tenths(10);
  for (std::uint32_t i = 0; i < some.size(); ++i) {
    const auto& e = some[i];
    const auto own = split_context(e.context);
    const auto original = static_cast<std::int64_t>(tokenizer.encode(e.context).size());
    for (const std::int64_t target : {3000, 6000}) {
      const auto l = hay.surround(e, target, 1, i);
      EXPECT_EQ(l.tokens, static_cast<std::int64_t>(tokenizer.encode(l.example.context).size()));
      if (original >= target) {
        EXPECT_EQ(l.example, e);
        continue;
      }
      EXPECT_LE(l.tokens, target);
      EXPECT_GE(l.tokens, target - 40);
      const auto all = split_context(l.example.context);
      ASSERT_EQ(all.size(), own.size() + static_cast<std::size_t>(l.inserted));
      std::set<std::int32_t> kept(l.own.begin(), l.own.end());
      ASSERT_EQ(kept.size(), own.size());
      // Without a title a passage's first line reads as one.
      const auto block = [](const passage& p) { return (p.title.empty() ? "" : p.title + "\n") + p.text; };
      for (std::size_t k = 0; k < own.size(); ++k)
        EXPECT_EQ(block(all[static_cast<std::size_t>(l.own[k])]), block(own[k]));
      for (std::size_t k = 0; k < all.size(); ++k) {
        if (kept.contains(static_cast<std::int32_t>(k))) {
          ++tenths[k * 10 / all.size()];
          continue;
        }
        EXPECT_EQ(e.meta.find("\"" + all[k].title + "\""), std::string::npos) << all[k].title;
        if (e.answers[0].size() >= 4) {
          EXPECT_EQ(all[k].text.find(e.answers[0]), std::string::npos);
        }
      }
      auto same = l.example;
      same.context = e.context;
      EXPECT_EQ(same, e);
      EXPECT_EQ(hay.surround(e, target, 1, i).example, l.example);
      EXPECT_NE(hay.surround(e, target, 2, i).example, l.example);
    }
  }
  for (int n : tenths) EXPECT_GT(n, 5);
  QL_EXPECT_MESSAGE(haystack({}, tokenizer), argument_error, "1 to 2^31 - 1 of them, got 0");
}

}  // namespace
