// SPDX-License-Identifier: Apache-2.0
#pragma once

// Products against Eigen's in double, within the bounds of support/tolerance.hpp.
#include <ql/backend/cpu/linear.hpp>
#include <ql/backend/cpu/parameters.hpp>

#include "backend/cpu/oracle.hpp"
#include "support/numbers.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace ql::test::reference_products {

using ql::accumulate_t;
using ql::view;
using ql::cpu::context;
using ql::test::normals;
using ql::test::numbers;
using ql::test::oracle_product;
using ql::test::tolerance;
using ql::test::transposed;

template <class T>
class ReferenceProducts : public testing::Test {};
TYPED_TEST_SUITE_P(ReferenceProducts);

// as it enters a product: rounded to T
template <class T, class E>
std::vector<double> operand(const std::vector<E>& v) {
  std::vector<double> d;
  for (auto x : v) d.push_back(ql::test::wide(ql::test::to<T>(ql::test::wide(x))));
  return d;
}
inline std::vector<double> magnitudes(std::vector<double> v) {
  for (auto& x : v) x = std::fabs(x);
  return v;
}
// the largest error relative to the sum of |terms|
template <class E>
double error(const std::vector<E>& got, const std::vector<double>& a, const std::vector<double>& b, std::int64_t m,
             std::int64_t k, std::int64_t n) {
  const auto exact = oracle_product(a, b, m, k, n), size = oracle_product(magnitudes(a), magnitudes(b), m, k, n);
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    worst = std::fmax(worst, std::fabs(ql::test::wide(got[i]) - exact[i]) / size[i]);
  return worst;
}

TYPED_TEST_P(ReferenceProducts, ForwardAndBackward) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  constexpr std::int64_t shapes[][3] = {{1, 1, 1},     {1, 896, 130}, {7, 33, 65},
                                        {64, 300, 64}, {65, 100, 31}, {97, 515, 129}};
  context ctx;
  for (const auto& [m, k, n] : shapes) {
    numbers r(static_cast<std::uint64_t>(m + k + n));
    const auto x = normals<T>(r, m * k);
    const auto w = normals<A>(r, n * k), dy = normals<A>(r, m * n);
    std::vector<T> packed(static_cast<std::size_t>(ql::packed_elements(ctx, T{}, n, k))),
        t(static_cast<std::size_t>(m * n));
    const ql::matrix<T> weight{n, k, w.data(), packed.data()};
    ql::pack(ctx, weight, packed.data());
    std::vector<A> y(static_cast<std::size_t>(m * n)), dx(x.size()), dw(w.size());
    const view<const T, 2> xv(x.data(), {m, k});
    const view<const A, 2> dyv(dy.data(), {m, n});
    ql::linear_sum(ctx, xv, weight, static_cast<const A*>(nullptr), view<A, 2>(y.data(), {m, n}));
    ql::linear(ctx, xv, weight, static_cast<const A*>(nullptr), view<T, 2>(t.data(), {m, n}));
    ql::linear_dx(ctx, dyv, weight, view<A, 2>(dx.data(), {m, k}), false);
    ql::linear_dw(ctx, dyv, xv, view<A, 2>(dw.data(), {n, k}));
    const auto a = operand<T>(x), b = operand<T>(w), d = operand<T>(dy);
    EXPECT_LE(error(y, a, transposed(b, n, k), m, k, n), tolerance<T>("product")) << m << " " << k << " " << n;
    EXPECT_LE(error(t, a, transposed(b, n, k), m, k, n), tolerance<T>("product, rounded")) << m << " " << k << " " << n;
    EXPECT_LE(error(dx, d, b, m, n, k), tolerance<T>("product")) << m << " " << k << " " << n;
    EXPECT_LE(error(dw, transposed(d, m, n), a, n, m, k), tolerance<T>("product")) << m << " " << k << " " << n;
  }
}

REGISTER_TYPED_TEST_SUITE_P(ReferenceProducts, ForwardAndBackward);

}  // namespace ql::test::reference_products
