// SPDX-License-Identifier: Apache-2.0
#include <ql/data/document_tree.hpp>

#include <gtest/gtest.h>

#include <set>

namespace {

using namespace ql::data;
using ql::token;
using v = phrase_vocabulary;

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
