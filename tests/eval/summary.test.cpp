// SPDX-License-Identifier: Apache-2.0
#include <ql/eval/summary.hpp>
#include <ql/io/json.hpp>

#include <gtest/gtest.h>

#include "eval/support/goldens.hpp"
#include "io/folder.hpp"

namespace {
using namespace ql::eval;

// A record with one sample for each mark: 1 right, 0 wrong, ? abstained, x failed.
item_record made(const std::string& benchmark, int id, const std::string& document, std::int64_t tokens,
                 const std::string& marks) {
  item_record r{std::to_string(id), benchmark, document, tokens, false, {}};
  for (char m : marks) {
    sample_record s;
    s.finish = m == 'x' ? "failed" : "stop";
    s.tokens = m == 'x' ? 0 : 10;
    if (m == '1' || m == '0') s.score = s.rule = m == '1' ? 1.0 : 0.0;
    if (m == '?') s.why = "judge: timeout", s.rule = 0.0;
    if (m == 'x') s.why = "generation: refused";
    r.samples.push_back(s);
  }
  return r;
}
evaluation_header header(std::int32_t samples, std::int64_t items) {
  evaluation_header h{"p", "", {}, items, "same"};
  h.protocol.samples = samples;
  h.protocol.lengths = {100, 200};
  return h;
}

TEST(Summary, CountsEverything) {
  const std::vector<item_record> records{made("a", 1, "d1", 100, "1100"), made("a", 2, "d1", 101, "0000"),
                                         made("b_proxy", 1, "d2", 200, "1?1x"), made("b_proxy", 2, "d3", 201, "1111")};
  const auto s = summarise(header(4, 4), records);
  EXPECT_EQ(s.all.items, 4);
  EXPECT_EQ(s.all.documents, 3);
  EXPECT_EQ(s.all.samples, 16);
  EXPECT_EQ(s.all.failed, 1);
  EXPECT_EQ(s.all.abstained, 1);
  EXPECT_NEAR(s.all.score.estimate, (0.5 + 0 + 0.5 + 1) / 4, 1e-15);
  EXPECT_NEAR(s.all.at_most, (0.5 + 0 + 1 + 1) / 4, 1e-15);
  EXPECT_EQ(s.all.output_tokens, 150.0 / 16);
  ASSERT_EQ(s.all.pass_at.size(), 3u);
  EXPECT_EQ(s.all.pass_at[0], (std::pair<std::int32_t, double>{1, 0.5}));
  EXPECT_EQ(s.all.pass_at[1].first, 2);
  EXPECT_NEAR(s.all.pass_at[1].second, (5.0 / 6 + 0 + 5.0 / 6 + 1) / 4, 1e-15);
  EXPECT_NEAR(s.all.pass_at[2].second, 0.75, 1e-15);
  ASSERT_EQ(s.benchmarks.size(), 2u);
  EXPECT_EQ(s.benchmarks[0].name, "a");
  EXPECT_EQ(s.benchmarks[0].score.estimate, 0.25);
  EXPECT_EQ(s.benchmarks[0].documents, 1);
  EXPECT_EQ(s.benchmarks[0].score.low, 0.25);  // one document: it cannot be resampled into anything else
  ASSERT_EQ(s.lengths.size(), 3u);
  EXPECT_EQ(s.lengths[0].name, "1 to 100");
  EXPECT_EQ(s.lengths[1].name, "101 to 200");
  EXPECT_EQ(s.lengths[1].items, 2);
  EXPECT_EQ(s.lengths[2].name, "over 200");
  ASSERT_EQ(s.reasons.size(), 2u);
  EXPECT_EQ(s.mean_of_seven, std::nullopt);
  EXPECT_EQ(s.seven_complete, false);

  const auto text = table(s);
  EXPECT_NE(text.find("b_proxy"), std::string::npos);
  EXPECT_NE(text.find("pass@4"), std::string::npos);
  EXPECT_NE(text.find("1 x judge: timeout"), std::string::npos) << text;
  EXPECT_EQ(text.find("seven"), std::string::npos);
  const auto json = ql::io::json::parse(to_json(s));
  EXPECT_EQ(json.at("all").at("score").at("estimate").real(), 0.5);
  EXPECT_TRUE(json.at("benchmarks").array()[1].at("proxy").boolean());
  EXPECT_TRUE(json.at("mean_of_seven").is_null());
  EXPECT_TRUE(json.at("all").at("quoted").is_null());
}

TEST(Summary, TheSevenAreAveragedByThemselvesOnly) {
  std::vector<item_record> records;
  const char* names[] = {"docmath", "frames", "2wikimultihopqa", "hotpotqa", "musique", "narrativeqa"};
  for (const char* name : names) records.push_back(made(name, 1, name, 10, "1"));
  records.push_back(made("qasper_proxy", 1, "q", 10, "1"));
  EXPECT_EQ(summarise(header(1, 7), records).mean_of_seven, std::nullopt);
  EXPECT_EQ(table(summarise(header(1, 7), records)).find("seven"), std::string::npos);
  records.push_back(made("qasper", 1, "q2", 10, "0"));
  records.push_back(made("qasper", 2, "q3", 10, "0"));
  const auto s = summarise(header(1, 9), records);
  ASSERT_TRUE(s.mean_of_seven.has_value());
  EXPECT_NEAR(*s.mean_of_seven, 6.0 / 7, 1e-15);  // over sets, not over items, and without the proxy
  EXPECT_FALSE(s.seven_complete);
  EXPECT_NE(table(s).find("mean of the seven benchmarks (not all of their items): 85.7"), std::string::npos);
}

TEST(Summary, NothingAtAll) {
  const auto s = summarise(header(1, 0), {});
  EXPECT_EQ(s.all.items, 0);
  EXPECT_FALSE(table(s).empty());
}

evaluation_file file(std::vector<item_record> records, std::int32_t samples = 1) {
  evaluation_file f{header(samples, static_cast<std::int64_t>(records.size())), std::move(records)};
  return f;
}

TEST(Comparison, PairsItems) {
  // the first 2 items only for one, 9 only for the other, the rest alike
  std::vector<item_record> a, b;
  for (int i = 0; i < 40; ++i) {
    const bool first = i < 2 || (i >= 11 && i < 25), second = (i >= 2 && i < 11) || (i >= 11 && i < 25);
    a.push_back(made("set", i, "d" + std::to_string(i), 50, first ? "1" : "0"));
    b.insert(b.begin(), made("set", i, "d" + std::to_string(i), 50, second ? "1" : "0"));  // another order
  }
  const auto c = compare(file(a), file(b));
  EXPECT_EQ(c.all.items, 40);
  EXPECT_EQ(c.all.only_first, 2);
  EXPECT_EQ(c.all.only_second, 9);
  ASSERT_TRUE(c.all.mcnemar.has_value());
  EXPECT_NEAR(*c.all.mcnemar, 0.0654296875, 1e-12);
  EXPECT_NEAR(c.all.sign_flip, 0.0654296875, 1e-12);  // the same test where every difference is 1
  EXPECT_NEAR(c.all.bootstrap.difference.estimate, 7.0 / 40, 1e-15);
  EXPECT_NEAR(c.all.first, 16.0 / 40, 1e-15);
  EXPECT_EQ(c.all.unknown, 0);
  EXPECT_NEAR(c.all.least, 7.0 / 40, 1e-15);
  ASSERT_EQ(c.benchmarks.size(), 1u);
  EXPECT_EQ(c.benchmarks[0].holm, c.benchmarks[0].sign_flip);
  const auto json = ql::io::json::parse(to_json(c));
  EXPECT_EQ(json.at("all").at("only_second").integer(), 9);
  EXPECT_NE(table(c).find("p McN"), std::string::npos);
}

TEST(Comparison, WhatIsUnknownBoundsTheGain) {
  std::vector<item_record> a, b;
  for (int i = 0; i < 10; ++i) {
    a.push_back(made("set", i, "", 50, i == 0 ? "?1" : "01"));
    b.push_back(made("set", i, "", 50, i == 1 ? "1x" : "11"));
  }
  const auto c = compare(file(a, 2), file(b, 2));
  EXPECT_EQ(c.all.documents, 10);  // without a document an item stands alone
  EXPECT_EQ(c.all.unknown, 2);
  EXPECT_NEAR(c.all.bootstrap.difference.estimate, 0.45, 1e-15);
  EXPECT_NEAR(c.all.least, 0.40, 1e-15);
  EXPECT_NEAR(c.all.most, 0.50, 1e-15);
  EXPECT_EQ(c.all.mcnemar, std::nullopt);  // two samples an item
  EXPECT_NE(table(c).find("between 40.0 and 50.0"), std::string::npos) << table(c);
}

TEST(Comparison, AdjustsOverBenchmarks) {
  std::vector<item_record> a, b;
  for (const char* set : {"x", "y", "z"})
    for (int i = 0; i < 12; ++i) {
      const bool gain = i < (set[0] == 'x' ? 8 : set[0] == 'y' ? 4 : 0);
      a.push_back(made(set, i, "", 50, "0"));
      b.push_back(made(set, i, "", 50, gain ? "1" : "0"));
    }
  const auto c = compare(file(a), file(b));
  ASSERT_EQ(c.benchmarks.size(), 3u);
  EXPECT_EQ(c.benchmarks[0].sign_flip, 2.0 / 256);
  EXPECT_EQ(c.benchmarks[0].holm, 6.0 / 256);
  EXPECT_EQ(c.benchmarks[1].holm, 4.0 / 16);
  EXPECT_EQ(c.benchmarks[2].holm, 1);
}

TEST(Comparison, RefusesDifferentItems) {
  const std::vector<item_record> a{made("s", 1, "d", 1, "1"), made("s", 2, "d", 1, "1")};
  auto one = file(a), other = file(a);
  other.records.pop_back();
  QL_EXPECT_MESSAGE(compare(one, other), ql::argument_error, "item \"2\" of s is in the first evaluation alone");
  QL_EXPECT_MESSAGE(compare(other, one), ql::argument_error, "in the second evaluation alone");
  other = one;
  other.header.items_hash = "another";
  QL_EXPECT_MESSAGE(compare(one, other), ql::argument_error, "different items");
}
}  // namespace
