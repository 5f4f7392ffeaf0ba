// SPDX-License-Identifier: Apache-2.0
#pragma once

// Charts as inline SVG: lines over steps with bands for phases, points with intervals over lengths, stacked areas,
// bars. Colours are CSS classes (c0, c1, ...), so that a page decides them for light and dark.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ql::io::svg {

struct series {
  std::string name;
  int colour = 0;
  std::vector<std::pair<double, double>> points;
  bool faint = false;  // unsmoothed values behind a smooth line
  bool dashed = false;
};

struct band {
  double from = 0, to = 0;
  std::string name;
};

struct chart {
  std::string title, description;  // for people who listen
  std::string unit;                // "%" scales by 100
  std::vector<series> lines;
  std::vector<band> bands;
  bool from_zero = true, to_one = false, stacked = false;
  int width = 560, height = 230;
};

// Lines, or areas on top of each other.
std::string line_chart(const chart& c);

// One category's points of one series with their intervals.
struct interval_point {
  std::size_t category = 0;
  double value = 0, low = 0, high = 0;
};
struct interval_series {
  std::string name;
  int colour = 0;
  std::vector<interval_point> points;
};
std::string interval_chart(const std::string& title, const std::string& description,
                           const std::vector<std::string>& categories, const std::vector<interval_series>& all,
                           const std::string& axis);

// Bars of counts, a part of each in the second colour.
std::string bar_chart(const std::string& title, const std::string& description, const std::vector<double>& whole,
                      const std::vector<double>& part, const std::string& axis);

// Text for HTML: & < > " ' escaped, control characters but line ends left out.
std::string escaped(std::string_view s);

// 0.25, 12.5, 3.1k: at most three digits that count.
std::string shown(double x);

// At most `most` points, each the mean of its neighbours; first and last kept.
std::vector<std::pair<double, double>> thinned(const std::vector<std::pair<double, double>>& p, std::size_t most);
// A running mean over `window` points to both sides.
std::vector<std::pair<double, double>> smoothed(const std::vector<std::pair<double, double>>& p, std::size_t window);

}  // namespace ql::io::svg
