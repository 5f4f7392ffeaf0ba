// SPDX-License-Identifier: Apache-2.0
#include <ql/data/generator.hpp>
#include <ql/rl/extract.hpp>

#include "io/folder.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <set>

namespace {

using namespace ql::data;
using ql::token;
using v = phrase_vocabulary;

generator_config every_kind() {
  generator_config c;
  c.kinds = {3, 3, 2, 2, 2, 2};
  return c;
}

std::uint64_t digest(std::uint64_t h, std::span<const token> ids) {
  for (token t : ids) h = (h ^ static_cast<std::uint64_t>(t)) * 0x100000001b3u;
  return h;
}
std::uint64_t digest(const generated_document& d) {
  auto h = digest(0xcbf29ce484222325u, d.tokens);
  for (const auto& q : d.questions) h = digest(digest(h, q.prompt), q.target());
  return h;
}

TEST(PhraseVocabulary, NamesEachTokenOnce) {
  std::set<std::string> seen;
  for (token t = 0; t < v::size; ++t) EXPECT_TRUE(seen.emplace(v::text(t)).second) << v::text(t);
  QL_EXPECT_MESSAGE(v::text(256), ql::argument_error, "expected 0 to 255, got 256");
  QL_EXPECT_MESSAGE(v::text(-1), ql::argument_error, "got -1");
  EXPECT_EQ(v::text(v::predicate(relation::city, 0)), "lives in oslo");
  EXPECT_EQ(v::text(v::predicate(relation::job, 15)), "works as a writer");
  EXPECT_EQ(v::text(v::predicate(relation::pet, 11)), "keeps a duck");
  EXPECT_EQ(v::text(v::predicate(relation::coins, 0)), "has 1 coin");
  EXPECT_EQ(v::text(v::predicate(relation::coins, 8)), "has 9 coins");
  EXPECT_EQ(v::text(v::predicate(relation::boss, 31)), "reports to fiona");
  EXPECT_EQ(v::text(v::number(18)), "18");
  EXPECT_EQ(v::text(v::option(3)), "(d)");
  EXPECT_EQ(v::text(v::so_the_answer_is), "so the answer is");
}

TEST(PhraseVocabulary, KnowsWhatAPredicateStates) {
  for (int r = 0; r < relations; ++r)
    for (std::int32_t i = 0; i < v::values(static_cast<relation>(r)); ++i) {
      const auto p = v::predicate(static_cast<relation>(r), i), x = v::value(static_cast<relation>(r), i);
      EXPECT_TRUE(v::is_predicate(p) && !v::is_predicate(x));
      EXPECT_EQ(v::value_of(p), x);
      EXPECT_EQ(v::value_of(x), x);
      EXPECT_TRUE(v::equivalent(p, x) && !v::equivalent(p, x + 1));
      std::string said(v::text(p)), value(v::text(x));
      if (r == 3) said.resize(said.rfind(' '));
      EXPECT_EQ(said.substr(said.rfind(' ') + 1), value);
    }
  EXPECT_EQ(v::english(std::vector<token>{v::document, v::person(0), v::predicate(relation::city, 0), v::full_stop,
                                          v::person(3), v::predicate(relation::boss, 2), v::full_stop, v::question,
                                          v::where_lives, v::the_boss_of, v::person(3), v::question_mark}),
            "Alice lives in Oslo. Dan reports to Carol. Where lives the boss of Dan?");
}

// The same documents for ever: whoever changes them changes every run.
TEST(Generator, IsAFunctionOfItsKey) {
  const auto c = every_kind();
  std::uint64_t h = 0;
  for (std::uint32_t i = 0; i < 64; ++i) {
    const document_key key{.seed = 5, .index = i};
    const auto d = generate(c, key);
    EXPECT_EQ(d, generate(c, key));
    EXPECT_EQ(d.key, key);
    h = h * 31 + digest(d);
  }
  EXPECT_EQ(h, 16874815087871223945u);
  const auto d = generate({}, {.seed = 1});
  EXPECT_EQ(v::decode(std::span(d.tokens).first(24)),
            "<doc> nick reports to diana . the forest gleamed beside the market . the bright road turned behind the "
            "field . bella works as a gardener . diana keeps a tortoise");
}

TEST(Generator, NeverRepeatsADocument) {
  std::set<std::uint64_t> seen;
  int made = 0;
  generator_config c;
  for (const auto of : {split::train, split::warm_up, split::drill, split::validation, split::test})
    for (std::uint64_t seed : {0u, 1u, 1000000u})
      for (std::uint32_t i = 0; i < 100; ++i)
        for (std::int32_t n : {64, 65, 128}) {
          c.min_tokens = c.max_tokens = n;
          seen.insert(digest(generate(c, {seed, of, i})));
          ++made;
        }
  EXPECT_EQ(static_cast<int>(seen.size()), made);
}

TEST(Generator, MeetsEveryLengthExactly) {
  generator_config c = every_kind();
  for (std::int32_t n = 4; n <= 4096; n += n < 600 ? 1 : 97) {
    c.min_tokens = c.max_tokens = n;
    const auto d = generate(c, {.seed = 3, .index = static_cast<std::uint32_t>(n)});
    ASSERT_EQ(static_cast<std::int32_t>(d.tokens.size()), n);
    std::int32_t at = 1;
    for (const auto& s : d.sentences) {
      ASSERT_EQ(s.first, at);
      at += s.count;
      ASSERT_EQ(d.tokens_of(s).back(), v::full_stop);
      if (s.filler()) continue;
      ASSERT_EQ(d.tokens_of(s)[0], v::person(s.person));
      ASSERT_EQ(d.tokens_of(s)[1], v::predicate(s.what, s.value));
    }
    ASSERT_EQ(at, n);
    if (n >= 40) {
      ASSERT_EQ(d.questions.size(), 4u) << n;
    }
  }
  c.min_tokens = 129, c.max_tokens = 256;
  std::set<std::size_t> lengths;
  for (std::uint32_t i = 0; i < 2000; ++i) lengths.insert(generate(c, {.seed = 1, .index = i}).tokens.size());
  EXPECT_EQ(*lengths.begin(), 129u);
  EXPECT_EQ(*lengths.rbegin(), 256u);
  EXPECT_EQ(lengths.size(), 128u);
}

TEST(Generator, RefusesWhatItCannotMake) {
  const auto with = [](auto change) {
    return ql::test::message_of<ql::argument_error>([&] {
      generator_config c;
      change(c);
      (void)generate(c, {});
    });
  };
  const auto says = [](const std::string& why, const char* text) { return why.find(text) != std::string::npos; };
  EXPECT_TRUE(says(with([](auto& c) { c.min_tokens = 3; }), "4 <= min_tokens <= max_tokens <= 65535, got 3, 128"));
  EXPECT_TRUE(says(with([](auto& c) { c.min_tokens = 129; }), "got 129, 128"));
  EXPECT_TRUE(says(with([](auto& c) { c.max_tokens = 65536; }), "got 128, 65536"));
  EXPECT_TRUE(says(with([](auto& c) { c.questions = 65; }), "questions: expected 0 to 64"));
  EXPECT_TRUE(says(with([](auto& c) { c.kinds = {}; }), "one weight above 0"));
  EXPECT_TRUE(says(with([](auto& c) { c.kinds[1] = -1; }), "weights from 0"));
  EXPECT_TRUE(says(with([](auto& c) { c.asked = {}; }), "city, job or pet"));
  EXPECT_TRUE(says(with([](auto& c) { c.filler = 1.5; }), "filler: expected a share"));
  EXPECT_TRUE(says(with([](auto& c) { c.hard = -0.1; }), "hard: expected a share"));
  EXPECT_TRUE(says(with([](auto& c) { c.terse = std::numeric_limits<double>::quiet_NaN(); }), "terse"));
}

TEST(Generator, RewardsTheTokenBeforeTheEnd) {
  const token oslo = v::value(relation::city, 0), rome = v::value(relation::city, 1);
  const token lives = v::predicate(relation::city, 0), so = v::so_the_answer_is;
  using ids = std::vector<token>;
  EXPECT_EQ(token_reward(ids{so, oslo, v::eos}, oslo), 1);
  EXPECT_EQ(token_reward(ids{so, rome, so, oslo, v::eos}, oslo), 1);
  EXPECT_EQ(token_reward(ids{so, oslo, so, rome, v::eos}, oslo), 0);
  EXPECT_EQ(token_reward(ids{so, oslo}, oslo), 0);
  EXPECT_EQ(token_reward(ids{so, oslo, v::full_stop, v::eos}, oslo), 0);
  EXPECT_EQ(token_reward(ids{so, oslo, oslo, v::eos}, oslo), 0);
  EXPECT_EQ(token_reward(ids{oslo, v::eos}, oslo), 0);
  EXPECT_EQ(token_reward(ids{}, oslo), 0);
  EXPECT_EQ(token_reward(ids{so, lives, v::eos}, oslo), 0);
  EXPECT_EQ(equivalent_token_reward(ids{so, lives, v::eos}, oslo), 1);
  EXPECT_EQ(equivalent_token_reward(ids{so, oslo, v::eos}, oslo), 1);
  EXPECT_EQ(equivalent_token_reward(ids{so, rome, v::eos}, oslo), 0);
  EXPECT_EQ(equivalent_token_reward(ids{so, lives}, oslo), 0);
}

// Targets earn the reward as tokens and, by the rules for texts, as English.
TEST(Generator, TargetsAreRight) {
  const auto c = every_kind();
  const ql::rl::after_phrase phrase;
  for (std::uint32_t i = 0; i < 100; ++i) {
    const auto d = generate(c, {.seed = 6, .index = i});
    for (const auto& q : d.questions) {
      for (const auto& t : {q.step_by_step(), q.terse()}) {
        EXPECT_LE(t.size(), 28u);
        EXPECT_EQ(token_reward(t, q.gold), 1);
        EXPECT_EQ(phrase(v::decode(std::span(t).first(t.size() - 1))), q.answers[0]);
      }
      EXPECT_GT(q.step_by_step().size(), q.terse().size());
      const auto evidence = static_cast<std::int32_t>(q.evidence.size());
      EXPECT_EQ(quoted_evidence(q.step_by_step(), d, q), evidence);
      EXPECT_EQ(quoted_evidence(q.terse(), d, q), 0);
      auto half = q.step_by_step();
      half[0] = v::person((half[0] - v::person(0) + 1) % v::people);
      EXPECT_EQ(quoted_evidence(half, d, q), evidence - 1);
    }
  }
}

}  // namespace
