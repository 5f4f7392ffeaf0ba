// SPDX-License-Identifier: Apache-2.0
#include <ql/data/generator.hpp>

#include "data/solver.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace {

using namespace ql::data;
using ql::token;
using v = phrase_vocabulary;
using ql::test::reader;

generator_config every_kind() {
  generator_config c;
  c.kinds = {3, 3, 2, 2, 2, 2};
  return c;
}

TEST(Generator, AReaderFindsTheSameAnswers) {
  generator_config c = every_kind();
  std::map<question_kind, int> asked;
  for (const auto& [length, questions] : {std::pair(32, 8), {64, 8}, {128, 4}, {300, 4}, {1024, 4}, {4096, 16}}) {
    c.min_tokens = c.max_tokens = length;
    c.questions = questions;
    for (std::uint32_t i = 0; i < 60; ++i) {
      const auto d = generate(c, {.seed = 11, .of = split::test, .index = i});
      const reader r(v::decode(d.tokens));
      EXPECT_FALSE(r.contradicts_itself());
      EXPECT_EQ(static_cast<std::ptrdiff_t>(r.facts()),
                std::count_if(d.sentences.begin(), d.sentences.end(), [](const auto& s) { return !s.filler(); }));
      std::set<std::vector<token>> distinct;
      for (const auto& q : d.questions) {
        ++asked[q.kind];
        EXPECT_TRUE(distinct.insert(q.prompt).second);
        const auto text = v::decode(q.prompt);
        ASSERT_EQ(r.answer(text), v::text(q.gold)) << text;
        EXPECT_EQ(q.answers.at(0), v::text(q.gold));
        // The evidence alone answers; without any of its sentences nothing does.
        for (std::size_t without = 0; without <= q.evidence.size(); ++without) {
          std::string alone = "<doc>", rest = "<doc>", chain;
          for (std::size_t k = 0; k < q.evidence.size(); ++k) {
            const auto s = v::decode(d.tokens_of(d.sentences.at(static_cast<std::size_t>(q.evidence[k]))));
            if (k != without) alone += " " + s;
            chain += s + " ";
          }
          for (std::size_t k = 0; k < d.sentences.size(); ++k)
            if (without == q.evidence.size() || static_cast<std::int32_t>(k) != q.evidence[without])
              rest += " " + v::decode(d.tokens_of(d.sentences[k]));
          const bool whole = without == q.evidence.size();
          EXPECT_EQ(reader(alone).answer(text), whole ? std::optional(q.answers[0]) : std::nullopt);
          EXPECT_EQ(reader(rest).answer(text), whole ? std::optional(q.answers[0]) : std::nullopt);
          EXPECT_TRUE((v::decode(q.reasoning) + " ").starts_with(chain)) << v::decode(q.reasoning);
        }
      }
    }
  }
  EXPECT_EQ(asked.size(), 6u);
  for (const auto& [kind, n] : asked) EXPECT_GT(n, 100) << name_of(kind);
}

TEST(Generator, DoesNotGiveTheAnswerAway) {
  const auto c = every_kind();
  for (std::uint32_t i = 0; i < 300; ++i) {
    const auto d = generate(c, {.seed = 2, .index = i});
    for (const auto& q : d.questions) {
      const bool offered = q.kind == question_kind::comparison || q.kind == question_kind::choice;
      EXPECT_EQ(std::count(q.prompt.begin(), q.prompt.end(), q.gold), offered ? 1 : 0);
      if (q.kind != question_kind::comparison) {
        EXPECT_EQ(std::count(d.tokens.begin(), d.tokens.end(), q.gold), 0);
      }
      EXPECT_EQ(std::count(d.tokens.begin(), d.tokens.end(), v::so_the_answer_is), 0);
      if (q.kind != question_kind::choice) continue;
      const std::set<token> options{q.prompt[5], q.prompt[7], q.prompt[9], q.prompt[11]};
      EXPECT_EQ(options.size(), 4u);
    }
  }
}

TEST(Generator, DrawsWhatItSays) {
  generator_config c;
  c.min_tokens = c.max_tokens = 512;
  std::array<int, question_kinds> kinds{};
  std::array<int, 3> topics{};
  int questions = 0, terse = 0, sentences = 0, filler = 0, distractors = 0, hard = 0, open = 0;
  std::map<token, int> gold;
  for (std::uint32_t i = 0; i < 1500; ++i) {
    const auto d = generate(c, {.seed = 9, .index = i});
    unsigned needed = 0;
    std::set<std::int32_t> evidence;
    for (const auto& q : d.questions) {
      ++questions;
      ++kinds[static_cast<std::size_t>(q.kind)];
      terse += q.prefers_terse ? 1 : 0;
      EXPECT_EQ(q.target(), q.prefers_terse ? q.terse() : q.step_by_step());
      if (q.kind == question_kind::one_hop) ++topics[static_cast<std::size_t>(q.prompt[1] - v::where_lives)];
      if (q.kind == question_kind::one_hop && q.prompt[1] == v::where_lives) ++gold[q.gold];
      for (auto e : q.evidence) {
        evidence.insert(e);
        needed |= 1u << static_cast<int>(d.sentences[static_cast<std::size_t>(e)].what);
      }
    }
    if (needed == 31) continue;  // every relation is asked about: all distractors are hard
    ++open;
    for (std::size_t s = 0; s < d.sentences.size(); ++s) {
      ++sentences;
      if (d.sentences[s].filler()) {
        ++filler;
      } else if (!evidence.contains(static_cast<std::int32_t>(s))) {
        ++distractors;
        hard += needed >> static_cast<int>(d.sentences[s].what) & 1;
      }
    }
  }
  EXPECT_EQ(questions, 6000);
  EXPECT_GT(open, 1000);
  const auto share = [](int a, int b) { return static_cast<double>(a) / b; };
  EXPECT_NEAR(share(kinds[0], questions), 0.3, 0.02);
  EXPECT_NEAR(share(kinds[1], questions), 0.3, 0.02);
  EXPECT_NEAR(share(kinds[2], questions), 0.2, 0.02);
  EXPECT_NEAR(share(kinds[3], questions), 0.2, 0.02);
  EXPECT_EQ(kinds[4] + kinds[5], 0);
  EXPECT_NEAR(share(terse, questions), 0.2, 0.02);
  EXPECT_NEAR(share(filler, sentences), 0.4, 0.02);
  EXPECT_NEAR(share(hard, distractors), 0.7, 0.04);
  for (int t : topics) EXPECT_NEAR(share(t, kinds[0]), 1.0 / 3, 0.04);
  EXPECT_EQ(gold.size(), 24u);
}

// Where evidence stands in a document, in tenths of it.
TEST(Generator, SpreadsTheEvidence) {
  std::array<int, 10> tenth{};
  int all = 0;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const auto d = generate({}, {.seed = 4, .index = i});
    for (const auto& q : d.questions)
      for (auto e : q.evidence) {
        ++tenth[static_cast<std::size_t>(d.sentences[static_cast<std::size_t>(e)].first * 10 / 128)];
        ++all;
      }
  }
  for (int n : tenth) EXPECT_NEAR(static_cast<double>(n) / all, 0.1, 0.025);
}

TEST(Generator, AsksWhatItIsToldTo) {
  generator_config c;
  c.min_tokens = c.max_tokens = 200;
  c.questions = 6;
  c.asked = {false, true, false};
  for (int k = 0; k < question_kinds; ++k) {
    c.kinds = {};
    c.kinds[static_cast<std::size_t>(k)] = 1;
    const auto d = generate(c, {.seed = 1});
    EXPECT_EQ(d.questions.size(), 6u);
    for (const auto& q : d.questions) {
      EXPECT_EQ(static_cast<int>(q.kind), k);
      const bool job = k == 0 || k == 1 || k == 5;
      EXPECT_EQ(std::count(q.prompt.begin(), q.prompt.end(), v::what_is_the_job_of), job ? 1 : 0);
    }
  }
  c.filler = 0;
  c.questions = 0;
  const auto d = generate(c, {.seed = 1});
  EXPECT_TRUE(d.questions.empty());
  EXPECT_LE(std::count_if(d.sentences.begin(), d.sentences.end(), [](const auto& s) { return s.filler(); }), 1);
  c.filler = 1;
  for (const auto& s : generate(c, {.seed = 1}).sentences) EXPECT_TRUE(s.filler());
}

}  // namespace
