// SPDX-License-Identifier: Apache-2.0
#include <ql/eval/metrics.hpp>
#include <ql/io/json.hpp>

#include <gtest/gtest.h>

#include "eval/support/goldens.hpp"
#include "text/lines.hpp"

namespace {
using namespace ql::eval;
namespace goldens = ql::test::goldens;

TEST(Metrics, AsTheScriptsGiveThem) {
  for (const auto& r : goldens::metrics) {
    const std::string what = std::string(r.prediction) + " | " + std::string(r.gold);
    EXPECT_EQ(exact_match(r.prediction, r.gold), r.exact == 1) << what;
    EXPECT_EQ(cover_match(r.prediction, r.gold), r.cover == 1) << what;
    EXPECT_EQ(mutual_cover_match(r.prediction, r.gold), r.mutual == 1) << what;
    const auto f = token_f1(r.prediction, r.gold);
    EXPECT_EQ(f.f1, r.squad1) << what;
    EXPECT_EQ(f.precision, r.precision) << what;
    EXPECT_EQ(f.recall, r.recall) << what;
    EXPECT_EQ(token_f1(r.prediction, r.gold, f1_rule::squad2).f1, r.squad2) << what;
    EXPECT_EQ(token_f1(r.prediction, r.gold, f1_rule::hotpotqa).f1, r.hotpotqa) << what;
  }
}

TEST(Metrics, OnLabelledPredictions) {
  for (const auto& set : goldens::judged_sets) {
    int exact = 0, cover = 0;
    double f1 = 0;
    for (const auto& row : ql::test::json_lines("judge/" + std::string(set.name) + ".jsonl.gz")) {
      std::vector<std::string> gold;
      for (const auto& g : row.at("gold").array()) gold.push_back(g.string());
      const auto& p = row.at("prediction").string();
      exact += best_exact_match(p, gold) > 0 ? 1 : 0;
      cover += best_cover_match(p, gold) > 0 ? 1 : 0;
      f1 += best_f1(p, gold);
    }
    EXPECT_EQ(exact, set.exact) << set.name;
    EXPECT_EQ(cover, set.cover) << set.name;
    EXPECT_NEAR(f1, set.f1, 1e-9) << set.name;
  }
}

TEST(Metrics, BestOverGold) {
  const std::vector<std::string> gold{"New York City", "NYC"}, none;
  EXPECT_EQ(best_exact_match("nyc.", gold), 1);
  EXPECT_EQ(best_cover_match("It is NYC", gold), 1);
  EXPECT_EQ(best_f1("York City", gold), 0.8);
  EXPECT_EQ(best_exact_match("", none), 0);
  EXPECT_EQ(best_f1("x", none), 0);
}

TEST(Metrics, PassAtK) {
  for (const auto& r : goldens::pass_at_k) EXPECT_NEAR(pass_at_k(r.n, r.c, r.k), r.value, 1e-14) << r.n << " " << r.c;
  EXPECT_EQ(pass_at_k(1, 1, 1), 1);
  EXPECT_NEAR(pass_at_k(1'000'000, 1, 10), 1e-5, 1e-14);  // the factorials would overflow
  // unbiased: over all ways to draw n = 6 samples with 2 right, any k of them hold a right one as often
  EXPECT_NEAR(pass_at_k(6, 2, 3), 1 - (4.0 * 3 * 2) / (6 * 5 * 4), 1e-15);
  EXPECT_THROW(pass_at_k(4, 1, 5), ql::argument_error);
  EXPECT_THROW(pass_at_k(4, 5, 1), ql::argument_error);
  EXPECT_THROW(pass_at_k(4, 1, 0), ql::argument_error);
}

TEST(Metrics, Means) {
  EXPECT_EQ(avg_at_k(std::vector<double>{1, 0, 0, 1}), 0.5);
  EXPECT_EQ(avg_at_k({}), 0);
  const std::vector<char> p{'A', 'B', 0, 'D'}, g{'A', 'C', 'C', 'D'};
  EXPECT_EQ(multiple_choice_accuracy(p, g), 0.5);
  EXPECT_THROW(multiple_choice_accuracy(std::span(p).first(2), g), ql::argument_error);
}

TEST(Metrics, SequenceRatioAsDifflib) {
  for (const auto& r : goldens::sequences) EXPECT_EQ(sequence_ratio(r.a, r.b), r.ratio) << r.a << " | " << r.b;
  EXPECT_THROW(sequence_ratio(std::string(longest_sequence + 1, 'a'), "b"), ql::argument_error);
}

TEST(Metrics, HostileText) {
  const std::string bad = "\xF0\x28\x8C\x28\xFF", zeros(std::size_t{1} << 20, '\0');
  EXPECT_TRUE(exact_match(bad, bad));
  EXPECT_FALSE(cover_match(zeros, "x"));
  std::string many;
  for (int i = 0; i < 200000; ++i) many += "w ";
  EXPECT_EQ(token_f1(many, "w").recall, 1);
}
}  // namespace
