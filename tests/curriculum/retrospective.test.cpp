// SPDX-License-Identifier: Apache-2.0
#include <ql/curriculum/retrospective.hpp>
#include <ql/testing/curriculum.hpp>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <vector>

namespace {
using namespace ql::curriculum;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Difficulty, TheLastVisitCounts) {
  difficulty_table t{.records = std::vector<difficulty_record>(3)};
  EXPECT_EQ(t[1], difficulty_record{});
  const double first[] = {1, 0, 0, 0}, second[] = {1, 1};
  EXPECT_TRUE(t.observe(1, first, 5));
  EXPECT_EQ(t[1], (difficulty_record{.visits = 1, .step = 5, .count = 4, .mean = 0.25}));
  EXPECT_TRUE(t.observe(1, second, 9));
  EXPECT_EQ(t[1], (difficulty_record{.visits = 2, .step = 9, .count = 2, .mean = 1.0}));
  EXPECT_EQ(t[0], difficulty_record{});
}

TEST(Difficulty, AnAbstainedMemberSaysNothing) {
  difficulty_table t{.records = {{}}};
  const auto before = t;
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const double a[] = {1, nan, 0}, b[] = {inf, 0}, c[] = {inf, -inf};
  EXPECT_FALSE(t.observe(0, a, 1) || t.observe(0, b, 1) || t.observe(0, c, 1));
  EXPECT_EQ(t, before);
  EXPECT_THROW(t.observe(1, a, 1), ql::argument_error);
  EXPECT_THROW(t.observe(0, {}, 1), ql::argument_error);
}

TEST(Difficulty, HistogramOfMeans) {
  const double means[] = {0, 0, 0.125, 0.5, 1, 1, 1, 0.49, -3, 7};
  EXPECT_THAT(mean_histogram(means, 8), ElementsAre(3, 1, 0, 0, 2, 0, 0, 0, 4));
  EXPECT_THAT(mean_histogram(means, 1), ElementsAre(5, 5));  // 0.5 is nearest to 1
  EXPECT_THAT(mean_histogram({}, 2), ElementsAre(0, 0, 0));
}

// means of groups of 8, written out: 0, 0/8 again, 1/8, 8/8, 1/16 (two halves), 4/8
const std::vector<scored_example> six = {{3, 8, 0.0}, {5, 8, 0.125},   {7, 8, 1.0},
                                         {9, 8, 0.0}, {11, 8, 0.0625}, {13, 8, 0.5}};

TEST(Retention, ZeroAccuracyPicksExactlyTheZeros) {
  EXPECT_THAT(zero_accuracy{}.retain(six, {.wanted = 1}), ElementsAre(3, 9));
  EXPECT_THAT(zero_accuracy{}.retain(std::vector<scored_example>{{1, 8, 1e-300}}, {}), IsEmpty());
}

TEST(Retention, WeightsAreOneOverMeanPlusEpsilon) {
  const weighted w;
  EXPECT_EQ(w.weight(six[0]), 16.0);          // 1 / (0 + 1/16)
  EXPECT_EQ(w.weight(six[1]), 1.0 / 0.1875);  // 1 / (1/8 + 1/16)
  EXPECT_EQ(w.weight(six[2]), 1.0 / 1.0625);  // 1 / (1 + 1/16)
  EXPECT_EQ((weighted{.epsilon = 0.5}.weight(six[2])), 1.0 / 1.5);
  EXPECT_THROW(w.retain(std::vector<scored_example>{{4, 8, -0.0625}}, {.wanted = 1}), ql::argument_error);
  EXPECT_THROW(w.retain(std::vector<scored_example>{{4, 8, -1.0}}, {.wanted = 1}), ql::argument_error);
}

TEST(Retention, AllAreTakenWhereAsManyAreWanted) {
  EXPECT_THAT(weighted{}.retain(six, {.wanted = 6}), ElementsAre(3, 5, 7, 9, 11, 13));
  EXPECT_THAT(random_draw{}.retain(six, {.wanted = 60}), ElementsAre(3, 5, 7, 9, 11, 13));
  EXPECT_THAT(weighted{}.retain(six, {.wanted = 0}), IsEmpty());
  EXPECT_THAT(none{}.retain(six, {.wanted = 6}), IsEmpty());
}

TEST(Retention, Laws) {
  namespace laws = ql::testing::laws;
  for (std::uint64_t seed = 1; seed < 4; ++seed) {
    EXPECT_EQ(laws::retention(zero_accuracy{}, seed), "");
    EXPECT_EQ(laws::retention(weighted{}, seed), "");
    EXPECT_EQ(laws::retention(random_draw{}, seed), "");
    EXPECT_EQ(laws::retention(random_draw{.match_zero_accuracy = true}, seed), "");
    EXPECT_EQ(laws::retention(none{}, seed), "");
  }
}

TEST(Retention, ARandomControlOfTheSameSize) {
  const random_draw control{.match_zero_accuracy = true};
  EXPECT_TRUE(control.needs_scores());
  EXPECT_FALSE(random_draw{}.needs_scores());
  std::map<example_id, int> seen;
  for (std::uint32_t k = 0; k < 200; ++k) {
    const auto kept = control.retain(six, {.wanted = 5, .seed = 1, .draw = k});
    EXPECT_EQ(kept.size(), 2u);  // as many as are 0
    for (const auto e : kept) ++seen[e];
  }
  EXPECT_EQ(seen.size(), 6u);
}

// Probability that a draw without replacement, each time proportional to weight, gives the set (bits) of n items: the
// sum over all orders.
double exact_probability(const std::vector<double>& w, unsigned set, unsigned gone = 0) {
  if (set == 0) return 1;
  double left = 0, sum = 0;
  for (std::size_t i = 0; i < w.size(); ++i)
    if ((gone >> i & 1) == 0) left += w[i];
  for (std::size_t i = 0; i < w.size(); ++i)
    if ((set >> i & 1) != 0) sum += w[i] / left * exact_probability(w, set & ~(1u << i), gone | 1u << i);
  return sum;
}

TEST(Retention, ExactProbabilitiesOfAHandWorkedCase) {
  // weights 1, 1, 2, two drawn: {0, 1} = 1/4 1/3 + 1/4 1/3
  EXPECT_NEAR(exact_probability({1, 1, 2}, 0b011), 1.0 / 6, 1e-15);
  EXPECT_NEAR(exact_probability({1, 1, 2}, 0b101), 5.0 / 12, 1e-15);  // 1/4 2/3 + 1/2 1/2
}

// Draws of `wanted` from the candidates against exact enumeration: every set's count within five standard errors, and
// chi-square over all sets.
template <class R>
void follows(const R& r, const std::vector<scored_example>& from, const std::vector<double>& w, std::int64_t wanted) {
  constexpr int draws = 20000;
  std::map<unsigned, int> count;
  for (int k = 0; k < draws; ++k) {
    unsigned set = 0;
    const auto kept = r.retain(from, {wanted, 77, static_cast<std::uint32_t>(k)});
    for (const auto e : kept) {
      for (std::size_t i = 0; i < from.size(); ++i)
        if (from[i].example == e) set |= 1u << i;
    }
    ++count[set];
  }
  double total = 0, chi_square = 0;
  int sets = 0;
  std::vector<double> inclusion(w.size(), 0), included(w.size(), 0);
  for (unsigned set = 0; set < 1u << w.size(); ++set) {
    if (__builtin_popcount(set) != wanted) continue;
    const double p = exact_probability(w, set), expected = p * draws, got = count[set];
    EXPECT_GT(expected, 5);  // else chi-square says little
    EXPECT_NEAR(got, expected, 5 * std::sqrt(expected * (1 - p))) << set;
    chi_square += (got - expected) * (got - expected) / expected;
    total += p;
    ++sets;
    for (std::size_t i = 0; i < w.size(); ++i) {
      inclusion[i] += (set >> i & 1) != 0 ? p : 0;
      included[i] += (set >> i & 1) != 0 ? got : 0;
    }
  }
  EXPECT_NEAR(total, 1, 1e-12);
  const double freedom = sets - 1;
  EXPECT_LT(chi_square, freedom + 4.5 * std::sqrt(2 * freedom) + 8);
  for (std::size_t i = 0; i < w.size(); ++i)
    EXPECT_NEAR(included[i] / draws, inclusion[i], 5 * std::sqrt(inclusion[i] * (1 - inclusion[i]) / draws));
}

TEST(Retention, WeightedDrawsHaveTheExactProbabilities) {
  std::vector<double> w;
  for (const auto& s : six) w.push_back(1 / (s.mean + 1.0 / 16));
  for (const std::int64_t wanted : {1, 2, 3}) follows(weighted{}, six, w, wanted);
}
TEST(Retention, RandomDrawsAreUniform) { follows(random_draw{}, six, {1, 1, 1, 1, 1, 1}, 3); }

TEST(Scoring, CostIsKnownBefore) {
  const std::int64_t tokens[] = {100, 250, 1000, 40};
  const example_id of[] = {1, 3};
  const auto c = cost_of_scoring(of, {.prompt_tokens = tokens}, 8, 50);
  EXPECT_EQ(c, (scoring_cost{.examples = 2, .answers = 16, .prompt_tokens = 290, .response_tokens = 800}));
  EXPECT_EQ(c.total(), 1090);
}

TEST(Scoring, SubsamplesAreSeededAndUniform) {
  const std::vector<example_id> from = {2, 3, 5, 7, 11};
  EXPECT_EQ(subsample(from, 0, 1, 1), from);
  EXPECT_EQ(subsample(from, 9, 1, 1), from);
  EXPECT_EQ(subsample(from, 2, 1, 1), subsample(from, 2, 1, 1));
  std::map<example_id, int> seen;
  for (std::uint32_t k = 0; k < 5000; ++k)
    for (const auto e : subsample(from, 2, 3, k)) ++seen[e];
  for (const auto e : from) EXPECT_NEAR(seen[e], 2000, 175) << e;  // five standard errors
}

}  // namespace
