// SPDX-License-Identifier: Apache-2.0
#include <ql/rl/sampler.hpp>
#include <ql/testing/sampler_laws.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/random_tree.hpp"

using namespace ql;
using namespace ql::test;
using ql::testing::logits;
namespace laws = ql::testing::laws;

namespace {

static_assert(rl::sampler<rl::greedy, float> && rl::sampler<rl::greedy, double>);
static_assert(rl::sampler<rl::stochastic, float> && rl::sampler<rl::stochastic, double>);

const double tiny = 0x1p-53, nearly_one = 1 - 0x1p-53;

}  // namespace

TEST(Sampler, KeepsTheLaws) {
  for (const auto& d :
       {distribution{}, distribution{.top_k = 20}, distribution{.top_p = 0.8}, distribution{.min_p = 0.1},
        distribution{.top_k = 40, .top_p = 0.9, .min_p = 0.01}, distribution{.top_k = 5, .rule = support_rule::frozen}})
    EXPECT_EQ(laws::sampler([&] { return rl::stochastic(d); }), "") << d.top_k << " " << d.top_p << " " << d.min_p;
  EXPECT_EQ(laws::sampler_draws([] { return rl::stochastic(); }, 200'000), "");
  EXPECT_EQ(laws::greedy_sampler([] { return rl::greedy(); }), "");
  EXPECT_EQ(laws::greedy_sampler([] { return rl::stochastic({.top_k = 1}); }), "");
}

// The laws must be able to fail.
struct wrong : rl::stochastic {
  enum class how { by_one, tie, half, mass, forgetful } what;
  wrong(how h, const ql::distribution& d) : rl::stochastic(d), what(h) {}
  std::vector<token> mine;
  int calls = 0;
  rl::draw operator()(const logits_row<float>& row, double u) {
    if (what == how::half) u = u * 0.9;
    if (what == how::forgetful && ++calls % 2 == 0) u = 1 - u;
    auto d = rl::stochastic::operator()(row, u);
    if (what == how::by_one && d.kept.size() > 1) d.kept = d.kept.first(d.kept.size() - 1);
    if (what == how::tie) {
      mine.assign(d.kept.begin(), d.kept.end());
      std::reverse(mine.begin(), mine.end());
      d.kept = mine;
    }
    if (what == how::mass) d.kept_mass = 1;
    return d;
  }
};
TEST(Sampler, TheLawsCatchWrongOnes) {
  const auto says = [](wrong::how h) { return laws::sampler([&] { return wrong(h, {.top_k = 20}); }); };
  EXPECT_NE(says(wrong::how::by_one).find("the kept ids are not those"), std::string::npos);
  EXPECT_NE(says(wrong::how::tie).find("the kept ids are not those"), std::string::npos);
  EXPECT_NE(says(wrong::how::mass).find("kept_mass"), std::string::npos);
  EXPECT_NE(says(wrong::how::forgetful).find("two tokens"), std::string::npos);
  EXPECT_NE(says(wrong::how::half).find("chi-square"), std::string::npos);
  EXPECT_NE(laws::greedy_sampler([] { return rl::stochastic(); }), "");
}

TEST(Sampler, SupportsOfManyDistributions) {
  dice d(5);
  for (int i = 0; i < 60; ++i) {
    distribution what;
    if (d.chance(0.5)) what.top_k = static_cast<std::int32_t>(d.between(1, 450));
    if (d.chance(0.5)) what.top_p = 0.05 + 0.94 * d.real();
    if (d.chance(0.5)) what.min_p = 0.3 * d.real();
    ASSERT_EQ(laws::sampler_supports([&] { return rl::stochastic(what); }, 30), "")
        << "top_k " << what.top_k << " top_p " << what.top_p << " min_p " << what.min_p;
  }
}

TEST(Sampler, TiesGoToTheLowerId) {
  const logits equal(std::vector<float>(8, 1.5f));  // one eighth each, exactly
  const auto kept = [&](const distribution& d) {
    rl::stochastic sampler(d);
    const auto k = sampler(equal.row(), 0.5).kept;
    return std::vector<token>(k.begin(), k.end());
  };
  EXPECT_EQ(kept({.top_k = 3}), (std::vector<token>{0, 1, 2}));
  EXPECT_EQ(kept({.top_p = 0.5}), (std::vector<token>{0, 1, 2, 3})) << "the token that reaches top_p is the last";
  EXPECT_EQ(kept({.top_p = 0.51}), (std::vector<token>{0, 1, 2, 3, 4}));
  EXPECT_EQ(kept({.top_p = 1e-9}), (std::vector<token>{0})) << "one token at least";
  EXPECT_EQ(kept({.min_p = 0.999}).size(), 8u);
  EXPECT_EQ(kept({.top_k = 4, .top_p = 0.5}), (std::vector<token>{0, 1})) << "top_p of what top_k left";
  EXPECT_EQ(rl::greedy()(equal.row(), 0.9).id, 0);
}

TEST(Sampler, EndsOfTheUnitInterval) {
  for (std::size_t n : {1u, 5u, 16u, 33u, 700u}) {
    const logits equal(std::vector<float>(n, -2.0f));
    rl::stochastic all, some({.top_k = 1000});
    EXPECT_EQ(all(equal.row(), tiny).id, 0);
    EXPECT_EQ(all(equal.row(), nearly_one).id, static_cast<token>(n - 1));
    EXPECT_EQ(some(equal.row(), tiny).id, 0);
    EXPECT_EQ(some(equal.row(), nearly_one).id, static_cast<token>(n - 1));
    for (std::size_t i = 0; i < n; ++i)
      EXPECT_EQ(all(equal.row(), (static_cast<double>(i) + 0.5) / static_cast<double>(n)).id, static_cast<token>(i));
  }
  // What has no probability is never drawn, at neither end.
  std::vector<float> z(50, -std::numeric_limits<float>::infinity());
  z[20] = 1, z[21] = 1;
  const logits two(z);
  rl::stochastic all, some({.top_p = 0.999});
  EXPECT_EQ(all(two.row(), tiny).id, 20);
  EXPECT_EQ(all(two.row(), nearly_one).id, 21);
  EXPECT_EQ(some(two.row(), tiny).id, 20);
  EXPECT_EQ(some(two.row(), nearly_one).id, 21);
}

TEST(Sampler, AVocabularyOfOneToken) {
  const logits one({-7.0f});
  for (const auto& d :
       {distribution{}, distribution{.top_k = 1}, distribution{.top_p = 0.1}, distribution{.min_p = 0.9}}) {
    rl::stochastic sampler(d);
    const auto drawn = sampler(one.row(), 0.5);
    EXPECT_EQ(drawn.id, 0);
    EXPECT_EQ(drawn.kept_mass, 1.0);
  }
  EXPECT_EQ(rl::greedy()(one.row(), 0.5).id, 0);
}

TEST(Sampler, GreedyIsScoredUntruncated) {
  rl::greedy sampler(0.7);
  EXPECT_EQ(sampler.distribution(), (distribution{.temperature = 0.7}));
  const logits r({1, 3, 2, 3});
  const auto drawn = sampler(r.row(), 0.99);
  EXPECT_EQ(drawn.id, 1);
  EXPECT_TRUE(drawn.kept.empty());
  EXPECT_EQ(drawn.kept_mass, 1.0);
}

TEST(Sampler, DistributionsThatCannotBe) {
  const auto refused = [](distribution d, const std::string& field) {
    try {
      rl::stochastic sampler(d);
      ADD_FAILURE() << field << " is accepted";
    } catch (const argument_error& e) {
      EXPECT_NE(std::string(e.what()).find(": " + field + ": expected "), std::string::npos) << e.what();
    }
  };
  refused({.temperature = 0}, "temperature");
  refused({.temperature = -1}, "temperature");
  refused({.temperature = std::nan("")}, "temperature");
  refused({.top_k = -1}, "top_k");
  refused({.top_p = 0}, "top_p");
  refused({.top_p = 1.01}, "top_p");
  refused({.top_p = std::nan("")}, "top_p");
  refused({.min_p = 1}, "min_p");
  refused({.min_p = -0.1}, "min_p");
  // A frozen support is recorded for every token: it must be bounded.
  refused({.top_p = 0.9, .rule = support_rule::frozen}, "top_k");
  refused({.top_k = 1025, .rule = support_rule::frozen}, "top_k");
  EXPECT_NO_THROW(rl::stochastic({.top_k = 1024, .top_p = 0.5, .rule = support_rule::frozen}));
  EXPECT_NO_THROW(rl::stochastic({.rule = support_rule::frozen})) << "nothing is cut off";
}
