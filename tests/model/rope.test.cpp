// SPDX-License-Identifier: Apache-2.0
// Frequencies and tables of every rope kind against the published formulas (tests/golden/rope_tables.py).
#include <ql/model/rope_table.hpp>

#include <gtest/gtest.h>

#include <cmath>
#include <iostream>

#include "model/support/rope_tables.hpp"

using namespace ql;
using namespace ql::test;

TEST(Rope, FrequenciesAreThoseOfTheFormulas) {
  double worst = 0;
  for (const auto& g : rope_goldens()) {
    const auto f = model::rope_frequencies(g.config, g.head_dim);
    ASSERT_EQ(f.size(), g.frequencies.size());
    for (std::size_t i = 0; i < f.size(); ++i) worst = std::max(worst, std::abs(f[i] / g.frequencies[i] - 1));
    EXPECT_NEAR(model::rope_scale(g.config), g.scale, 1e-15);
  }
  EXPECT_LE(worst, 1e-14);
  std::cout << "worst relative error of a frequency " << worst << std::endl;
}

TEST(Rope, TablesInDouble) {
  double worst = 0;
  for (const auto& g : rope_goldens()) {
    model::rope_table<double> table(g.config, g.head_dim);
    table.reach(rope_positions.back() + 1);
    const auto half = static_cast<std::size_t>(g.head_dim / 2), stride = half <= 8 ? 1 : half / 8;
    for (std::size_t p = 0; p < rope_positions.size(); ++p)
      for (std::size_t i = 0, n = 0; i < half; i += stride, ++n) {
        const auto at = static_cast<std::size_t>(rope_positions[p]) * half + i;
        // An angle has an error of its own size in units of the last place.
        const double angle = static_cast<double>(rope_positions[p]) * g.frequencies[i],
                     tolerance = 2e-15 * (1 + 4 * angle);
        const double c = std::abs(table.cosine()[at] / g.scale - g.cosines[p][n]),
                     s = std::abs(table.sine()[at] / g.scale - g.sines[p][n]);
        ASSERT_LE(std::max(c, s), tolerance) << "position " << rope_positions[p] << ", pair " << i;
        worst = std::max(worst, std::max(c, s) / (1 + angle));
      }
  }
  std::cout << "worst error over 1 + angle " << worst << std::endl;
}

TEST(Rope, TablesInFloatRoundTheAngleOnce) {
  for (const auto& g : rope_goldens()) {
    model::rope_table<float> table(g.config, g.head_dim), grown(g.config, g.head_dim);
    table.reach(4096);
    for (std::int64_t n : {1, 17, 4096, 5}) grown.reach(n);
    const auto half = static_cast<std::size_t>(g.head_dim / 2);
    for (std::size_t p : {0u, 1u, 63u, 4095u})
      for (std::size_t i = 0; i < half; ++i) {
        const float angle = static_cast<float>(p) * static_cast<float>(g.frequencies[i]);
        ASSERT_NEAR(table.cosine()[p * half + i], std::cos(static_cast<double>(angle)) * g.scale, 1.2e-7 * g.scale);
        ASSERT_NEAR(table.sine()[p * half + i], std::sin(static_cast<double>(angle)) * g.scale, 1.2e-7 * g.scale);
        ASSERT_EQ(table.cosine()[p * half + i], grown.cosine()[p * half + i]) << "a table may grow in steps";
      }
  }
}
