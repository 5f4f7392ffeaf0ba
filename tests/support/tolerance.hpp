// SPDX-License-Identifier: Apache-2.0
#pragma once

// How far an operation may be from its definition, computed in long double from the same stored inputs: the one table
// of such bounds. Errors are relative to the natural size of the result, which the test states: for products the sum of
// |x w|, for the rest 1 unless said otherwise. Bounds are about four times the worst seen on these tests' inputs.

#include <ql/scalar.hpp>

#include <string_view>
#include <type_traits>

namespace ql::test {

struct tolerance_row {
  std::string_view what;
  double of_float, of_double, of_bf16;
};
inline constexpr tolerance_row tolerances[] = {
    // what                 float    double   bf16
    {"product", 1e-6, 2e-15, 1e-6},           // of sums of |x w|; nothing is rounded to T
    {"product, rounded", 1e-6, 2e-15, 4e-3},  // the result in T
    {"attention", 4e-6, 1e-14, 5e-2},         // q, k, v, P and the result rounded to T
    {"rms_norm", 1e-6, 2e-15, 5e-3},          // relative to each element
    {"rms_norm gradient", 5e-6, 1e-14, 5e-6},
    {"swiglu", 1e-6, 2e-15, 5e-3},  // relative to |gate up|
    {"swiglu gradient", 1e-6, 2e-15, 1e-6},
    {"log-prob", 5e-6, 1e-14, 5e-6},  // absolute; logits of the same rounded operands
    {"entropy", 5e-6, 1e-14, 5e-6},
    {"update", 2e-6, 4e-15, 2e-6},  // of one optimizer step, relative to |w| + lr
};

template <class T>
double tolerance(std::string_view what) {
  for (const auto& row : tolerances)
    if (row.what == what)
      return std::is_same_v<T, float> ? row.of_float : std::is_same_v<T, double> ? row.of_double : row.of_bf16;
  return 0;  // a name that is not in the table: nothing passes
}

}  // namespace ql::test
