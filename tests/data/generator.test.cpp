// SPDX-License-Identifier: Apache-2.0
#include <ql/data/document_tree.hpp>
#include <ql/data/generator.hpp>
#include <ql/rl/extract.hpp>
#include <ql/rl/verify_strict.hpp>

#include "data/solver.hpp"
#include "io/folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

namespace {

using namespace ql::data;
using ql::token;
using ql::test::reader;
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

TEST(Generator, RefusesWhatItCannotMake) {
  const auto with = [](auto change) {
    return ql::test::message_of<ql::argument_error>([&] {
      generator_config c;
      change(c);
      (void)generate(c, {});
    });
  };
  using testing::HasSubstr;
  EXPECT_THAT(with([](auto& c) { c.min_tokens = 3; }), HasSubstr("4 <= min_tokens <= max_tokens <= 65535, got 3, 128"));
  EXPECT_THAT(with([](auto& c) { c.min_tokens = 129; }), HasSubstr("got 129, 128"));
  EXPECT_THAT(with([](auto& c) { c.max_tokens = 65536; }), HasSubstr("got 128, 65536"));
  EXPECT_THAT(with([](auto& c) { c.questions = 65; }), HasSubstr("questions: expected 0 to 64"));
  EXPECT_THAT(with([](auto& c) { c.kinds = {}; }), HasSubstr("one weight above 0"));
  EXPECT_THAT(with([](auto& c) { c.kinds[1] = -1; }), HasSubstr("weights from 0"));
  EXPECT_THAT(with([](auto& c) { c.asked = {}; }), HasSubstr("city, job or pet"));
  EXPECT_THAT(with([](auto& c) { c.filler = 1.5; }), HasSubstr("filler: expected a share"));
  EXPECT_THAT(with([](auto& c) { c.hard = -0.1; }), HasSubstr("hard: expected a share"));
  EXPECT_THAT(with([](auto& c) { c.terse = std::numeric_limits<double>::quiet_NaN(); }), HasSubstr("terse"));
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

TEST(Generator, GrowsATreeOfDepthTwo) {
  const auto d = generate({}, {.seed = 8});
  ql::token_tree t;
  const auto at = add_with_targets(t, d);
  ASSERT_EQ(at.questions.size(), 4u);
  EXPECT_EQ(t[at.root].count, 128);
  std::int64_t loss = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(t[at.questions[i]].parent, at.root);
    EXPECT_EQ(t[at.questions[i]].what, ql::role::prompt);
    EXPECT_EQ(t[at.questions[i]].start, 128);
    EXPECT_EQ(t.children(at.questions[i]), 1);
    loss += static_cast<std::int64_t>(d.questions[i].target().size());
  }
  EXPECT_EQ(t.loss_tokens(), loss);
  t.validate(v::size);
}

TEST(Drill, SaysEachFactAgain) {
  std::set<relation> used;
  int sentences = 0, filler = 0;
  for (std::uint32_t i = 0; i < 500; ++i) {
    const auto d = generate_drill({}, {.seed = 1, .of = split::drill, .index = i});
    ASSERT_EQ(d.tokens.size(), 28u);
    EXPECT_EQ(d, generate_drill({}, {.seed = 1, .of = split::drill, .index = i}));
    used.insert(d.what);
    std::multiset<std::vector<token>> facts;
    std::set<token> people;
    for (const auto& s : d.sentences) {
      ++sentences;
      filler += s.filler() ? 1 : 0;
      if (s.filler()) continue;
      EXPECT_EQ(s.what, d.what);
      const auto t = std::span(d.tokens).subspan(static_cast<std::size_t>(s.first), 3);
      facts.emplace(t.begin(), t.end());
      EXPECT_TRUE(people.insert(t[0]).second);
    }
    ASSERT_EQ(d.restatements.size(), 2u);
    for (const auto& r : d.restatements) {
      std::multiset<std::vector<token>> again;
      for (std::size_t k = 0; k < r.tokens.size(); k += 3) {
        again.emplace(r.tokens.begin() + static_cast<std::ptrdiff_t>(k),
                      r.tokens.begin() + static_cast<std::ptrdiff_t>(k) + 3);
        EXPECT_EQ((std::vector<std::uint8_t>(r.recall.begin() + static_cast<std::ptrdiff_t>(k),
                                             r.recall.begin() + static_cast<std::ptrdiff_t>(k) + 3)),
                  (std::vector<std::uint8_t>{0, 1, 0}));
      }
      EXPECT_EQ(again, facts);
    }
    ql::token_tree t;
    std::vector<float> weights;
    add_drill(t, d, weights);
    EXPECT_EQ(static_cast<std::int64_t>(weights.size()), t.loss_tokens());
    EXPECT_EQ(weights.size(), 6 * facts.size());
    EXPECT_EQ(weights[0], 0.2f);
    EXPECT_EQ(weights[1], 1.0f);
  }
  EXPECT_EQ(used.size(), 5u);
  EXPECT_NEAR(static_cast<double>(filler) / sentences, 0.1, 0.06);  // 28 tokens often need one to come out even
}

}  // namespace
