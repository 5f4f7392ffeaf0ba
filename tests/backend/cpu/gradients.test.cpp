// SPDX-License-Identifier: Apache-2.0
// Finite differences in double of every operation that has a backward, but attention and the vocabulary.
#include <ql/backend/cpu/linear.hpp>
#include <ql/backend/cpu/parameters.hpp>
#include <ql/backend/cpu/rows.hpp>

#include "support/gradient.hpp"
#include "support/numbers.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

namespace {

using ql::matrix;
using ql::view;
using ql::cpu::context;
using ql::test::gradient_error;
using ql::test::normals;
using ql::test::numbers;
using ql::test::weighted;
using values = std::vector<double>;

view<double, 2> in(values& v, std::int64_t rows, std::int64_t columns) { return {v.data(), {rows, columns}}; }
view<const double, 2> of(const values& v, std::int64_t rows, std::int64_t columns) {
  return {v.data(), {rows, columns}};
}

struct weight {
  std::int64_t rows, columns;
  values master, packed;
  weight(context& ctx, numbers& r, std::int64_t n, std::int64_t k)
      : rows(n),
        columns(k),
        master(normals<double>(r, n * k)),
        packed(static_cast<std::size_t>(ql::packed_elements(ctx, 0.0, n, k))) {}
  matrix<double> operator()(context& ctx) {
    const matrix<double> m{rows, columns, master.data(), packed.data()};
    ql::pack(ctx, m, packed.data());
    return m;
  }
};

TEST(Gradients, Linear) {
  context ctx;
  numbers r(1);
  const std::int64_t m = 5, k = 37, n = 41;
  auto x = normals<double>(r, m * k), bias = normals<double>(r, n);
  const auto dy = normals<double>(r, m * n);
  weight w(ctx, r, n, k);
  values y(static_cast<std::size_t>(m * n));
  const auto loss = [&] {
    ql::linear_sum(ctx, of(x, m, k), w(ctx), static_cast<const double*>(bias.data()), in(y, m, n));
    return weighted(y, dy);
  };
  values dx(x.size()), dw(w.master.size()), db(bias.size());
  ql::linear_dx(ctx, of(dy, m, n), w(ctx), in(dx, m, k), false);
  ql::linear_dw(ctx, of(dy, m, n), of(x, m, k), in(dw, n, k));
  ql::column_sum(ctx, of(dy, m, n), view<double, 1>(db));
  EXPECT_EQ(gradient_error(x, dx, loss), "");
  EXPECT_EQ(gradient_error(w.master, dw, loss), "");
  EXPECT_EQ(gradient_error(bias, db, loss), "");
}

TEST(Gradients, RmsNorm) {
  context ctx;
  numbers r(2);
  const std::int64_t m = 6, n = 45;
  auto x = normals<double>(r, m * n), w = normals<double>(r, n);
  const auto dy = normals<double>(r, m * n);
  values y(x.size()), rstd(static_cast<std::size_t>(m));
  const double eps = 1e-2;  // large, so that its place in the formula is seen
  const auto loss = [&] {
    ql::rms_norm(ctx, of(x, m, n), static_cast<const double*>(w.data()), eps, in(y, m, n), rstd.data());
    return weighted(y, dy);
  };
  (void)loss();
  values dx(x.size()), dw(w.size());
  ql::rms_norm_dx(ctx, of(dy, m, n), of(x, m, n), static_cast<const double*>(w.data()),
                  static_cast<const double*>(rstd.data()), in(dx, m, n));
  ql::rms_norm_dw(ctx, of(dy, m, n), of(x, m, n), static_cast<const double*>(rstd.data()), dw.data());
  EXPECT_EQ(gradient_error(x, dx, loss), "");
  EXPECT_EQ(gradient_error(w, dw, loss), "");
}

TEST(Gradients, Swiglu) {
  context ctx;
  numbers r(3);
  const std::int64_t m = 4, n = 39;
  auto gate = normals<double>(r, m * n, 2), up = normals<double>(r, m * n);
  const auto dy = normals<double>(r, m * n);
  values y(gate.size()), dgate(gate.size()), dup(gate.size());
  const auto loss = [&] {
    ql::swiglu(ctx, of(gate, m, n), of(up, m, n), in(y, m, n));
    return weighted(y, dy);
  };
  ql::swiglu_dx(ctx, of(gate, m, n), of(up, m, n), of(dy, m, n), in(dgate, m, n), in(dup, m, n));
  EXPECT_EQ(gradient_error(gate, dgate, loss), "");
  EXPECT_EQ(gradient_error(up, dup, loss), "");
}

TEST(Gradients, Embed) {
  context ctx;
  numbers r(4);
  const std::int64_t k = 21, vocabulary = 9;
  weight w(ctx, r, vocabulary, k);
  const std::vector<ql::token> ids{3, 1, 3, 8, 0, 3};
  const auto m = static_cast<std::int64_t>(ids.size());
  const auto dy = normals<double>(r, m * k);
  values y(dy.size()), dw(w.master.size());
  const auto loss = [&] {
    ql::embed(ctx, std::span<const ql::token>(ids), w(ctx), in(y, m, k));
    return weighted(y, dy);
  };
  ql::embed_dw(ctx, std::span<const ql::token>(ids), of(dy, m, k), in(dw, vocabulary, k));
  EXPECT_EQ(gradient_error(w.master, dw, loss, 200), "");
}

// What the checks above are worth: a gradient that is wrong by a millionth part in one element does not pass.
TEST(Gradients, TheCheckIsNotBlind) {
  values x{0.5, -1.0, 2.0}, g{std::cos(0.5), std::cos(-1.0), std::cos(2.0)};
  const auto loss = [&] { return std::sin(x[0]) + std::sin(x[1]) + std::sin(x[2]); };
  EXPECT_EQ(gradient_error(x, g, loss), "");
  g[1] *= 1 + 3e-6;
  EXPECT_NE(gradient_error(x, g, loss), "");
}

}  // namespace
