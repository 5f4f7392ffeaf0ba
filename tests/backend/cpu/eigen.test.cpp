// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/oracle.hpp"

#include <gtest/gtest.h>
#include <Eigen/Core>

namespace ql::test {

namespace {
using matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using constant = Eigen::Map<const matrix>;
}  // namespace

std::vector<double> oracle_product(const std::vector<double>& a, const std::vector<double>& b, std::int64_t m,
                                   std::int64_t k, std::int64_t n) {
  std::vector<double> c(static_cast<std::size_t>(m * n));
  Eigen::Map<matrix>(c.data(), m, n).noalias() = constant(a.data(), m, k) * constant(b.data(), k, n);
  return c;
}
std::vector<double> transposed(const std::vector<double>& a, std::int64_t rows, std::int64_t columns) {
  std::vector<double> t(a.size());
  Eigen::Map<matrix>(t.data(), columns, rows) = constant(a.data(), rows, columns).transpose();
  return t;
}

TEST(Oracle, Multiplies) {
  EXPECT_EQ(oracle_product({1, 2, 3, 4, 5, 6}, {1, 0, 2, 1, 0, 1}, 2, 3, 2), (std::vector<double>{5, 5, 14, 11}));
  EXPECT_EQ(transposed({1, 2, 3, 4, 5, 6}, 2, 3), (std::vector<double>{1, 4, 2, 5, 3, 6}));
}

}  // namespace ql::test
