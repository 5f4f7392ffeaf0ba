// SPDX-License-Identifier: Apache-2.0
#pragma once

// Gradients against differences of the function itself, in double.

#include "support/numbers.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <sstream>
#include <string>
#include <vector>

namespace ql::test {

// The slope of f at 0 by a five-point difference: an error of h^4, so that 1e-6 is far above it and its rounding.
template <class F>
double slope(F&& f, double h) {
  return (8 * (f(h) - f(-h)) - (f(2 * h) - f(-2 * h))) / (12 * h);
}

// Compares `gradient` with differences of loss() when the elements of x move: at `some` elements and along directions
// through all of them. Relative errors, with a floor at a thousandth of the largest element. Empty where all is well.
template <class F>
std::string gradient_error(std::vector<double>& x, const std::vector<double>& gradient, F&& loss, int some = 60,
                           double h = 1e-3, double bound = 1e-6) {
  if (x.size() != gradient.size()) return "sizes differ";
  numbers r(99);
  double largest = 0, length = 0;
  for (double g : gradient) largest = std::max(largest, std::fabs(g)), length += g * g;
  std::ostringstream s;
  if (!(largest > 0) || !std::isfinite(length)) {
    s << "the largest element is " << largest << ", the squared length " << length;
    return s.str();
  }
  const auto start = x;
  const auto n = static_cast<std::int64_t>(x.size());
  for (int i = 0; i < std::min<std::int64_t>(some, n); ++i) {
    const auto at = static_cast<std::size_t>(n <= some ? i : r.below(n));
    const double d = slope([&](double e) { return x[at] = start[at] + e, loss(); }, h);
    x[at] = start[at];
    const double error = std::fabs(d - gradient[at]) / std::max(std::fabs(gradient[at]), 1e-3 * largest);
    if (!(error <= bound)) {
      s << "element " << at << ": " << gradient[at] << ", by differences " << d << ", relative error " << error;
      return s.str();
    }
  }
  for (int i = 0; i < 3; ++i) {
    std::vector<double> v(x.size());
    double expected = 0;
    for (std::size_t j = 0; j < v.size(); ++j)
      v[j] = r.normal() / std::sqrt(static_cast<double>(n)), expected += v[j] * gradient[j];
    const double d = slope(
        [&](double e) {
          for (std::size_t j = 0; j < v.size(); ++j) x[j] = start[j] + e * v[j];
          return loss();
        },
        h);
    x = start;
    const double error =
        std::fabs(d - expected) / std::max(std::fabs(expected), 1e-2 * std::sqrt(length / static_cast<double>(n)));
    if (!(error <= bound)) {
      s << "direction " << i << ": " << expected << ", by differences " << d << ", relative error " << error;
      return s.str();
    }
  }
  return {};
}

// A loss that sees every element of a result.
inline double weighted(const std::vector<double>& y, const std::vector<double>& by) {
  double s = 0;
  for (std::size_t i = 0; i < y.size(); ++i) s += y[i] * by[i];
  return s;
}

}  // namespace ql::test
