// SPDX-License-Identifier: Apache-2.0
#pragma once

// The order of a product's sum, bit for bit: through the operations, against docs/numerics.md 4 as scalar code.
#include <ql/backend/cpu/linear.hpp>
#include <ql/backend/cpu/parameters.hpp>

#include "backend/cpu/model.hpp"
#include "support/numbers.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace ql::test::order_products {

using ql::accumulate_t;
using ql::matrix;
using ql::view;
using ql::cpu::context;
using ql::test::difference;
using ql::test::numbers;
namespace model = ql::test::model;

struct chosen_kernels {
  explicit chosen_kernels(std::string_view name) { ql::cpu::use_kernels(name); }
  ~chosen_kernels() { ql::cpu::use_kernels(""); }
  chosen_kernels(const chosen_kernels&) = delete;
  chosen_kernels& operator=(const chosen_kernels&) = delete;
};

struct shape {
  std::int64_t m, k, n;
};
constexpr shape shapes[] = {{1, 1, 1},    {3, 31, 33},  {5, 64, 40}, {2, 257, 32},
                            {13, 300, 7}, {1, 512, 65}, {7, 545, 34}};

template <class T>
class ProductOrder : public testing::Test {};
TYPED_TEST_SUITE_P(ProductOrder);

TYPED_TEST_P(ProductOrder, Forward) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context ctx;
  for (auto name : ql::cpu::kernel_names())
    for (int awkward = 0; awkward < 2; ++awkward)
      for (const auto& [m, k, n] : shapes) {
        const chosen_kernels use(name);
        numbers r(static_cast<std::uint64_t>(m + k));
        const auto values = [&](auto zero, std::int64_t count) {
          using E = decltype(zero);
          return awkward != 0 ? ql::test::awkward<E>(r, count) : ql::test::normals<E>(r, count);
        };
        const auto x = values(T{}, m * k);
        const auto w = values(A{}, n * k), bias = values(A{}, n), old = values(A{}, m * n);
        std::vector<T> packed(static_cast<std::size_t>(ql::packed_elements(ctx, T{}, n, k)));
        matrix<T> weight{n, k, w.data(), packed.data()};
        ql::pack(ctx, weight, packed.data());
        std::vector<A> sum(old), added(old), with_bias(old);
        std::vector<T> stored(old.size());
        const view<const T, 2> xv(x.data(), {m, k});
        ql::linear_sum(ctx, xv, weight, static_cast<const A*>(nullptr), view<A, 2>(sum.data(), {m, n}));
        ql::linear_sum(ctx, xv, weight, bias.data(), view<A, 2>(with_bias.data(), {m, n}));
        ql::linear_add(ctx, xv, weight, view<A, 2>(added.data(), {m, n}));
        ql::linear(ctx, xv, weight, bias.data(), view<T, 2>(stored.data(), {m, n}));
        std::vector<A> esum(old), eadded(old), ebias(old);
        std::vector<T> estored(old.size());
        ctx.parallel_for(1, [&](std::int64_t) {
          for (std::int64_t i = 0; i < m; ++i)
            for (std::int64_t j = 0; j < n; ++j) {
              const auto at = static_cast<std::size_t>(i * n + j);
              esum[at] = model::product<T>(
                  [&](auto kk) { return model::widened(x[static_cast<std::size_t>(i * k + kk)]); },
                  [&](auto kk) { return model::rounded(w[static_cast<std::size_t>(j * k + kk)], T{}); }, k);
              ebias[at] = esum[at] + bias[static_cast<std::size_t>(j)];
              eadded[at] = old[at] + esum[at];
              estored[at] = static_cast<T>(ebias[at]);
            }
        });
        const auto where = [&] {
          return std::string(name) + " " + std::to_string(m) + "x" + std::to_string(k) + "x" + std::to_string(n);
        };
        EXPECT_EQ(difference(sum, esum), "") << where();
        EXPECT_EQ(difference(with_bias, ebias), "") << where();
        EXPECT_EQ(difference(added, eadded), "") << where();
        EXPECT_EQ(difference(stored, estored), "") << where();
      }
}

TYPED_TEST_P(ProductOrder, Backward) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context ctx;
  for (auto name : ql::cpu::kernel_names())
    for (const auto& [m, n, k] : shapes) {  // dw sums over rows: give it the long dimension as well
      const chosen_kernels use(name);
      numbers r(static_cast<std::uint64_t>(m * n + k));
      const auto dy = ql::test::normals<A>(r, m * n), w = ql::test::normals<A>(r, n * k),
                 start = ql::test::normals<A>(r, m * k);
      const matrix<T> weight{n, k, w.data(), nullptr};
      std::vector<A> dx(start), dx_added(start), edx(start), eadded(start);
      const view<const A, 2> dyv(dy.data(), {m, n});
      ql::linear_dx(ctx, dyv, weight, view<A, 2>(dx.data(), {m, k}), false);
      ql::linear_dx(ctx, dyv, weight, view<A, 2>(dx_added.data(), {m, k}), true);
      const auto rows = n;  // of dw's operands
      const auto g = ql::test::normals<A>(r, rows * m);
      const auto x = ql::test::normals<T>(r, rows * k);
      std::vector<A> dw = ql::test::normals<A>(r, m * k), edw(dw);
      ql::linear_dw(ctx, view<const A, 2>(g.data(), {rows, m}), view<const T, 2>(x.data(), {rows, k}),
                    view<A, 2>(dw.data(), {m, k}));
      ctx.parallel_for(1, [&](std::int64_t) {
        for (std::int64_t i = 0; i < m; ++i)
          for (std::int64_t c = 0; c < k; ++c) {
            const auto at = static_cast<std::size_t>(i * k + c);
            edx[at] = model::product<T>(
                [&](auto j) { return model::rounded(dy[static_cast<std::size_t>(i * n + j)], T{}); },
                [&](auto j) { return model::rounded(w[static_cast<std::size_t>(j * k + c)], T{}); }, n);
            eadded[at] = start[at] + edx[at];
            // the chain of a gradient goes on from the value it finds
            edw[at] = model::product<T>(
                [&](auto row) { return model::rounded(g[static_cast<std::size_t>(row * m + i)], T{}); },
                [&](auto row) { return model::widened(x[static_cast<std::size_t>(row * k + c)]); }, rows, edw[at]);
          }
      });
      EXPECT_EQ(difference(dx, edx), "") << name << " " << m << " " << n << " " << k;
      EXPECT_EQ(difference(dx_added, eadded), "") << name;
      EXPECT_EQ(difference(dw, edw), "") << name << " " << m << " " << n << " " << k;
    }
}

// A lane's units form one ordered sum: cutting the rows at multiples of the block changes no bit.
TYPED_TEST_P(ProductOrder, GradientChainsGoOnAcrossUnits) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context ctx;
  numbers r(3);
  const std::int64_t rows = 600, m = 9, k = 35, cut = 256;
  const auto dy = ql::test::normals<A>(r, rows * m);
  const auto x = ql::test::normals<T>(r, rows * k);
  std::vector<A> once(static_cast<std::size_t>(m * k)), twice(once), bias(static_cast<std::size_t>(m)), bias2(bias);
  const view<const A, 2> dyv(dy.data(), {rows, m});
  const view<const T, 2> xv(x.data(), {rows, k});
  ql::linear_dw(ctx, dyv, xv, view<A, 2>(once.data(), {m, k}));
  ql::linear_dw(ctx, dyv.rows(0, cut), xv.rows(0, cut), view<A, 2>(twice.data(), {m, k}));
  ql::linear_dw(ctx, dyv.rows(cut, rows - cut), xv.rows(cut, rows - cut), view<A, 2>(twice.data(), {m, k}));
  EXPECT_EQ(difference(once, twice), "");
  ql::column_sum(ctx, dyv, view<A, 1>(bias));
  ql::column_sum(ctx, dyv.rows(0, cut), view<A, 1>(bias2));
  ql::column_sum(ctx, dyv.rows(cut, rows - cut), view<A, 1>(bias2));
  EXPECT_EQ(difference(bias, bias2), "");
}

REGISTER_TYPED_TEST_SUITE_P(ProductOrder, Forward, Backward, GradientChainsGoOnAcrossUnits);

}  // namespace ql::test::order_products
