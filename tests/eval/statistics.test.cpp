// SPDX-License-Identifier: Apache-2.0
#include <ql/eval/statistics.hpp>

#include <gtest/gtest.h>

#include <cmath>

#include "eval/support/goldens.hpp"

namespace {
using namespace ql::eval;
namespace goldens = ql::test::goldens;

TEST(Statistics, BootstrapAsReplicatedInPython) {
  for (const auto& g : goldens::bootstraps) {
    const resampling r{.replicates = 1000, .confidence = 0.95, .seed = g.seed};
    const auto one = bootstrap_interval(g.first, g.cluster, r);
    EXPECT_NEAR(one.estimate, g.mean[0], 1e-14);
    EXPECT_NEAR(one.low, g.mean[1], 1e-14);
    EXPECT_NEAR(one.high, g.mean[2], 1e-14);
    const auto two = paired_bootstrap(g.first, g.second, g.cluster, r);
    EXPECT_NEAR(two.difference.estimate, g.difference[0], 1e-14);
    EXPECT_NEAR(two.difference.low, g.difference[1], 1e-14);
    EXPECT_NEAR(two.difference.high, g.difference[2], 1e-14);
    EXPECT_NEAR(two.p, g.difference[3], 1e-14);
  }
}

TEST(Statistics, BootstrapAsSciPyWithinNoise) {
  const auto i = bootstrap_interval(goldens::scipy_values);
  EXPECT_NEAR(i.estimate, goldens::scipy_interval[0], 1e-14);
  // standard error of a 2.5 % quantile over 10000 replicates: about 0.0007
  EXPECT_NEAR(i.low, goldens::scipy_interval[1], 0.0035);
  EXPECT_NEAR(i.high, goldens::scipy_interval[2], 0.0035);
}

TEST(Statistics, BootstrapDrawsDocuments) {
  // 50 documents whose 20 questions are all right or all wrong: 50 observations, not 1000
  std::vector<double> values;
  std::vector<std::uint32_t> document;
  for (std::uint32_t d = 0; d < 50; ++d)
    for (int q = 0; q < 20; ++q) values.push_back(d % 2), document.push_back(1000 - d);
  const auto apart = bootstrap_interval(values), together = bootstrap_interval(values, document);
  EXPECT_EQ(apart.estimate, 0.5);
  EXPECT_EQ(together.estimate, 0.5);
  EXPECT_NEAR(apart.high - apart.low, 2 * 1.96 * 0.5 / std::sqrt(1000.0), 0.006);
  EXPECT_NEAR(together.high - together.low, 2 * 1.96 * 0.5 / std::sqrt(50.0), 0.03);
  // the names of clusters do not matter, the order of first appearance does the counting
  std::vector<std::uint32_t> renamed;
  for (auto d : document) renamed.push_back(d * 7919u);
  EXPECT_EQ(bootstrap_interval(values, renamed), together);
}

TEST(Statistics, BootstrapEdges) {
  EXPECT_EQ(bootstrap_interval({}), interval{});
  const std::vector<double> one{0.25};
  EXPECT_EQ(bootstrap_interval(one), (interval{0.25, 0.25, 0.25}));
  const std::vector<double> same(10, 1.0);
  EXPECT_EQ(bootstrap_interval(same), (interval{1, 1, 1}));
  EXPECT_EQ(paired_bootstrap(same, same).p, 1);
  EXPECT_EQ(bootstrap_interval(goldens::scipy_values, {}, {.seed = 5}),
            bootstrap_interval(goldens::scipy_values, {}, {.seed = 5}));
  EXPECT_NE(bootstrap_interval(goldens::scipy_values, {}, {.seed = 5}),
            bootstrap_interval(goldens::scipy_values, {}, {.seed = 6}));
  const std::vector<std::uint32_t> short_list(3);
  EXPECT_THROW(bootstrap_interval(same, short_list), ql::argument_error);
  EXPECT_THROW(bootstrap_interval(same, {}, {.replicates = 0}), ql::argument_error);
  EXPECT_THROW(bootstrap_interval(same, {}, {.confidence = 1}), ql::argument_error);
  EXPECT_THROW(paired_bootstrap(same, one), ql::argument_error);
}

TEST(Statistics, SignFlipsExact) {
  for (const auto& g : goldens::sign_flips) EXPECT_NEAR(sign_flip_test(g.differences), g.p, 1e-14);
  EXPECT_EQ(sign_flip_test({}), 1);
  EXPECT_EQ(sign_flip_test(std::vector<double>(30, 0.0)), 1);
  EXPECT_EQ(sign_flip_test(std::vector<double>{0.5}), 1);
}

TEST(Statistics, SignFlipsDrawn) {
  // 18 clusters, one more than is enumerated: the drawn p must meet the exact one, known from the binomial
  std::vector<double> d(18, 1.0);
  for (int i = 0; i < 4; ++i) d[static_cast<std::size_t>(i)] = -1;
  const double exact = mcnemar_exact(4, 14);
  EXPECT_NEAR(sign_flip_test(d, {}, {.replicates = 100000}), exact, 4 * std::sqrt(exact / 100000));
  // a difference twice in one document is one observation
  std::vector<double> twice;
  std::vector<std::uint32_t> document;
  for (std::uint32_t i = 0; i < 18; ++i)
    for (int q = 0; q < 2; ++q) twice.push_back(d[i]), document.push_back(i);
  EXPECT_EQ(sign_flip_test(twice, document), sign_flip_test(d));
  EXPECT_LT(sign_flip_test(twice), sign_flip_test(d) / 4);
}

TEST(Statistics, McNemarAsStatsmodels) {
  for (const auto& g : goldens::mcnemar)
    EXPECT_NEAR(mcnemar_exact(g.first, g.second), g.p, 1e-11 * (g.p + 1e-4)) << g.first;
  EXPECT_THROW(mcnemar_exact(-1, 2), ql::argument_error);
}

// The mass of Student's density between -t and t, by Simpson's rule.
double student_mass(double freedom, double t) {
  const auto density = [&](double x) {
    return std::tgamma((freedom + 1) / 2) / (std::sqrt(freedom * 3.14159265358979323846) * std::tgamma(freedom / 2)) *
           std::pow(1 + x * x / freedom, -(freedom + 1) / 2);
  };
  constexpr int n = 4000;
  double sum = density(0) + density(t);
  for (int i = 1; i < n; ++i) sum += (i % 2 == 1 ? 4 : 2) * density(t * i / n);
  return 2 * sum * t / n / 3;
}

// One and two degrees of freedom in closed form, others against the integral of the density.
TEST(Statistics, StudentsQuantilesAndIntervals) {
  EXPECT_NEAR(student_quantile(1, 0.95), std::tan(0.475 * 3.14159265358979323846), 1e-9);
  EXPECT_NEAR(student_quantile(2, 0.95), 0.95 * std::sqrt(2 / (1 - 0.95 * 0.95)), 1e-12);
  for (int freedom : {3, 4, 5, 7, 8, 30, 75})
    for (double confidence : {0.5, 0.9, 0.95, 0.99})
      EXPECT_NEAR(student_mass(freedom, student_quantile(freedom, confidence)), confidence, 1e-11) << freedom;
  EXPECT_NEAR(student_quantile(4, 0.95), 2.7764451051977987, 1e-11);  // as every table has it
  EXPECT_NEAR(student_quantile(1000, 0.95), normal_quantile(0.975), 3e-3);
  const double five[] = {1, 2, 3, 4, 5};
  const auto i = student_interval(five);
  EXPECT_EQ(i.estimate, 3);
  EXPECT_NEAR(i.high - 3, 2.7764451051977987 * std::sqrt(0.5), 1e-11);
  EXPECT_NEAR(i.low + i.high, 6, 1e-12);
  const auto one = student_interval(std::span(five, 1));
  EXPECT_TRUE(one.estimate == 1 && std::isinf(one.low) && std::isinf(one.high));
  EXPECT_THROW(student_interval({}), ql::argument_error);
  EXPECT_THROW(student_quantile(0, 0.95), ql::argument_error);
  EXPECT_THROW(student_quantile(3, 1), ql::argument_error);
}

TEST(Statistics, WilsonAsStatsmodels) {
  for (const auto& g : goldens::wilson) {
    const auto i = wilson_interval(g.successes, g.n, g.confidence);
    EXPECT_NEAR(i.estimate, static_cast<double>(g.successes) / g.n, 1e-15);
    EXPECT_NEAR(i.low, g.low, 1e-14);
    EXPECT_NEAR(i.high, g.high, 1e-14);
  }
  EXPECT_THROW(wilson_interval(1, 0), ql::argument_error);
  EXPECT_THROW(wilson_interval(3, 2), ql::argument_error);
}

TEST(Statistics, NormalQuantileAsSciPy) {
  for (const auto& g : goldens::quantiles) EXPECT_NEAR(normal_quantile(g.p), g.z, 2e-15 * (1 + std::abs(g.z))) << g.p;
  EXPECT_THROW(normal_quantile(0), ql::argument_error);
}

TEST(Statistics, HolmAsStatsmodels) {
  const auto adjusted = holm(goldens::holm_p);
  ASSERT_EQ(adjusted.size(), goldens::holm_adjusted.size());
  for (std::size_t i = 0; i < adjusted.size(); ++i) EXPECT_NEAR(adjusted[i], goldens::holm_adjusted[i], 1e-15);
  EXPECT_TRUE(holm({}).empty());
}
}  // namespace
