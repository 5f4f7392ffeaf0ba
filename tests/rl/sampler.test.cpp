// SPDX-License-Identifier: Apache-2.0
#include <ql/rl/sampler.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support/random_tree.hpp"

using namespace ql;
using namespace ql::test;

namespace {

// The least a sampler has to be.
struct archetype {
  ql::distribution d;
  const ql::distribution& distribution() const { return d; }
  rl::draw operator()(const logits_row<float>&, double) { return {}; }
};
struct draws_integers : archetype {
  int operator()(const logits_row<float>&, double) { return 0; }
};
struct tells_no_distribution {
  rl::draw operator()(const logits_row<float>&, double) { return {}; }
};
static_assert(rl::sampler<archetype, float> && !rl::sampler<archetype, std::string>);
static_assert(!rl::sampler<draws_integers, float> && !rl::sampler<tells_no_distribution, float>);
static_assert(rl::sampler<rl::greedy, float> && rl::sampler<rl::greedy, double>);
static_assert(rl::sampler<rl::stochastic, float> && rl::sampler<rl::stochastic, double>);

struct row {
  explicit row(std::vector<float> logits) : z(std::move(logits)) {
    max = *std::max_element(z.begin(), z.end());
    for (float x : z) sum += std::exp(static_cast<double>(x) - static_cast<double>(max));
    for (std::size_t b = 0; b < z.size(); b += 16) {
      float lane[16];
      for (std::size_t i = 0; i < 16; ++i) lane[i] = b + i < z.size() ? math::exp(z[b + i] - max) : 0.0f;
      for (std::size_t w = 8; w > 0; w /= 2)
        for (std::size_t i = 0; i < w; ++i) lane[i] = lane[i] + lane[i + w];
      partial.push_back(lane[0]);
    }
  }
  logits_row<float> get() const { return {z, max, static_cast<float>(sum), {}}; }
  // As a session gives it: with the sums of 16 entries each.
  logits_row<float> summed() const { return {z, max, static_cast<float>(sum), partial}; }
  double p(std::size_t i) const { return std::exp(static_cast<double>(z[i]) - static_cast<double>(max)) / sum; }
  std::vector<float> z, partial;
  float max = 0;
  double sum = 0;
};

row random_row(dice& d, std::int64_t n, double scale) {
  std::vector<float> z;
  for (std::int64_t i = 0; i < n; ++i) z.push_back(static_cast<float>(scale * (d.real() + d.real() + d.real() - 1.5)));
  return row(std::move(z));
}

// The support by its definition: sort by probability, then id; keep k; keep the least prefix that reaches top_p of
// what is left; drop what is below min_p of the largest. `sure` is false where rounding could decide otherwise.
std::vector<token> kept_by_definition(const row& r, const distribution& d, bool& sure) {
  std::vector<token> ids(r.z.size());
  std::iota(ids.begin(), ids.end(), 0);
  std::sort(ids.begin(), ids.end(), [&](token a, token b) {
    const float x = r.z[static_cast<std::size_t>(a)], y = r.z[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  });
  if (d.top_k > 0 && static_cast<std::size_t>(d.top_k) < ids.size()) ids.resize(static_cast<std::size_t>(d.top_k));
  double all = 0, mass = 0;
  for (auto id : ids) all += r.p(static_cast<std::size_t>(id));
  std::vector<token> kept;
  for (auto id : ids) {
    const double p = r.p(static_cast<std::size_t>(id)), top = r.p(static_cast<std::size_t>(ids[0]));
    if (!kept.empty()) {
      sure = sure && std::abs(mass - d.top_p * all) > 1e-6 && std::abs(p - d.min_p * top) > 1e-7 * top;
      if ((d.top_p < 1 && mass >= d.top_p * all) || p < d.min_p * top) break;
    }
    kept.push_back(id);
    mass += p;
  }
  return kept;
}

// Upper bound of chi-square with n degrees of freedom at a chance of 1e-6 (Wilson and Hilferty).
double chi_square_bound(double n) {
  const double z = 4.7534, c = 2 / (9 * n);
  return n * std::pow(1 - c + z * std::sqrt(c), 3);
}

template <class Sampler, class Weight>
double chi_square(Sampler& sampler, const row& r, std::int64_t draws, Weight&& weight, std::uint64_t seed,
                  double& cells) {
  std::vector<std::int64_t> seen(r.z.size());
  const random_key key{.seed = seed, .what = purpose::test};
  for (std::int64_t i = 0; i < draws; ++i)
    ++seen[static_cast<std::size_t>(sampler(r.summed(), uniform(key, static_cast<std::uint64_t>(i))).id)];
  double chi = 0, rare_seen = 0, rare_expected = 0;
  cells = -1;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const double expected = weight(i) * static_cast<double>(draws), got = static_cast<double>(seen[i]);
    if (expected == 0) {
      EXPECT_EQ(seen[i], 0) << "id " << i << " is outside the support";
    } else if (expected < 10) {
      rare_seen += got, rare_expected += expected;
    } else {
      chi += (got - expected) * (got - expected) / expected;
      ++cells;
    }
  }
  if (rare_expected > 5) chi += (rare_seen - rare_expected) * (rare_seen - rare_expected) / rare_expected, ++cells;
  return chi;
}

const double tiny = 0x1p-53, nearly_one = 1 - 0x1p-53;

}  // namespace

TEST(Sampler, DrawsFollowTheSoftmax) {
  dice d(3);
  for (std::int64_t n : {2, 15, 16, 17, 100, 1000}) {
    const auto r = random_row(d, n, 3);
    rl::stochastic sampler;
    double cells = 0;
    const double chi =
        chi_square(sampler, r, 200'000, [&](std::size_t i) { return r.p(i); }, static_cast<std::uint64_t>(n), cells);
    EXPECT_LT(chi, chi_square_bound(std::max(1.0, cells))) << n << " entries, " << cells << " degrees of freedom";
  }
}

TEST(Sampler, TruncatedDrawsFollowTheRenormalisedSoftmax) {
  dice d(4);
  for (const auto& what : {distribution{.top_k = 20}, distribution{.top_p = 0.8}, distribution{.min_p = 0.1}}) {
    const auto r = random_row(d, 300, 3);
    bool sure = true;
    const auto kept = kept_by_definition(r, what, sure);
    ASSERT_GT(kept.size(), 3u);
    std::vector<double> weight(r.z.size());
    double total = 0;
    for (auto id : kept) total += weight[static_cast<std::size_t>(id)] = r.p(static_cast<std::size_t>(id));
    rl::stochastic sampler(what);
    double cells = 0;
    const double chi = chi_square(sampler, r, 20'000, [&](std::size_t i) { return weight[i] / total; }, 5, cells);
    EXPECT_LT(chi, chi_square_bound(cells));
  }
}

TEST(Sampler, SupportsAreThoseOfTheDefinition) {
  dice d(5);
  std::int64_t compared = 0;
  for (int i = 0; i < 1500; ++i) {
    auto r = random_row(d, d.between(1, 400), d.between(0, 2) == 0 ? 0.5 : 6);
    if (d.chance(0.4)) {  // ties
      for (auto& x : r.z) x = std::round(x);
      r = row(r.z);
    }
    distribution what;
    if (d.chance(0.5)) what.top_k = static_cast<std::int32_t>(d.between(1, 450));
    if (d.chance(0.5)) what.top_p = 0.05 + 0.94 * d.real();
    if (d.chance(0.5)) what.min_p = 0.3 * d.real();
    if (!what.truncated()) continue;
    bool sure = true;
    const auto kept = kept_by_definition(r, what, sure);
    if (!sure) continue;
    ++compared;
    rl::stochastic sampler(what);
    const auto drawn = sampler(r.get(), d.real());
    ASSERT_EQ(std::vector<token>(drawn.kept.begin(), drawn.kept.end()), kept)
        << "top_k " << what.top_k << " top_p " << what.top_p << " min_p " << what.min_p << " of " << r.z.size();
    ASSERT_NE(std::find(kept.begin(), kept.end(), drawn.id), kept.end());
    double mass = 0;
    for (auto id : kept) mass += r.p(static_cast<std::size_t>(id));
    ASSERT_NEAR(drawn.kept_mass, mass, 1e-5);
  }
  EXPECT_GT(compared, 1000);
}

TEST(Sampler, TiesGoToTheLowerId) {
  const row equal(std::vector<float>(8, 1.5f));  // one eighth each, exactly
  const auto kept = [&](const distribution& d) {
    rl::stochastic sampler(d);
    const auto k = sampler(equal.get(), 0.5).kept;
    return std::vector<token>(k.begin(), k.end());
  };
  EXPECT_EQ(kept({.top_k = 3}), (std::vector<token>{0, 1, 2}));
  EXPECT_EQ(kept({.top_p = 0.5}), (std::vector<token>{0, 1, 2, 3})) << "the token that reaches top_p is the last";
  EXPECT_EQ(kept({.top_p = 0.51}), (std::vector<token>{0, 1, 2, 3, 4}));
  EXPECT_EQ(kept({.top_p = 1e-9}), (std::vector<token>{0})) << "one token at least";
  EXPECT_EQ(kept({.min_p = 0.999}).size(), 8u);
  EXPECT_EQ(kept({.top_k = 4, .top_p = 0.5}), (std::vector<token>{0, 1})) << "top_p of what top_k left";
  EXPECT_EQ(rl::greedy()(equal.get(), 0.9).id, 0);
}

TEST(Sampler, EndsOfTheUnitInterval) {
  for (std::size_t n : {1u, 5u, 16u, 33u, 700u}) {
    const row equal(std::vector<float>(n, -2.0f));
    rl::stochastic all, some({.top_k = 1000});
    EXPECT_EQ(all(equal.get(), tiny).id, 0);
    EXPECT_EQ(all(equal.get(), nearly_one).id, static_cast<token>(n - 1));
    EXPECT_EQ(some(equal.get(), tiny).id, 0);
    EXPECT_EQ(some(equal.get(), nearly_one).id, static_cast<token>(n - 1));
    for (std::size_t i = 0; i < n; ++i)
      EXPECT_EQ(all(equal.get(), (static_cast<double>(i) + 0.5) / static_cast<double>(n)).id, static_cast<token>(i));
  }
  // What has no probability is never drawn, at neither end.
  std::vector<float> z(50, -std::numeric_limits<float>::infinity());
  z[20] = 1, z[21] = 1;
  const row two(z);
  rl::stochastic all, some({.top_p = 0.999});
  EXPECT_EQ(all(two.get(), tiny).id, 20);
  EXPECT_EQ(all(two.get(), nearly_one).id, 21);
  EXPECT_EQ(some(two.get(), tiny).id, 20);
  EXPECT_EQ(some(two.get(), nearly_one).id, 21);
}

TEST(Sampler, AVocabularyOfOneToken) {
  const row one({-7.0f});
  for (const auto& d :
       {distribution{}, distribution{.top_k = 1}, distribution{.top_p = 0.1}, distribution{.min_p = 0.9}}) {
    rl::stochastic sampler(d);
    const auto drawn = sampler(one.get(), 0.5);
    EXPECT_EQ(drawn.id, 0);
    EXPECT_EQ(drawn.kept_mass, 1.0);
  }
  EXPECT_EQ(rl::greedy()(one.get(), 0.5).id, 0);
}

// Sums of 16 that come with a row say what the sampler would have summed itself.
TEST(Sampler, GivenPartialSumsChangeNothing) {
  dice d(6);
  for (int i = 0; i < 200; ++i) {
    const auto r = random_row(d, d.between(1, 300), 4);
    rl::stochastic sampler;
    for (int n = 0; n < 20; ++n) {
      const double u = d.real();
      ASSERT_EQ(sampler(r.summed(), u).id, sampler(r.get(), u).id);
    }
  }
}

TEST(Sampler, GreedyIsScoredUntruncated) {
  rl::greedy sampler(0.7);
  EXPECT_EQ(sampler.distribution(), (distribution{.temperature = 0.7}));
  const row r({1, 3, 2, 3});
  const auto drawn = sampler(r.get(), 0.99);
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
