// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace ql::test {

// Row-major a[m, k] b[k, n] in double, by Eigen; compiled in eigen.test.cpp alone.
std::vector<double> oracle_product(const std::vector<double>& a, const std::vector<double>& b, std::int64_t m,
                                   std::int64_t k, std::int64_t n);
std::vector<double> transposed(const std::vector<double>& a, std::int64_t rows, std::int64_t columns);

}  // namespace ql::test
