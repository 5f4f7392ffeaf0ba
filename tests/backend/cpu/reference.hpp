// SPDX-License-Identifier: Apache-2.0
#pragma once

// Row operations and the vocabulary against their definitions in long double, within the bounds of
// support/tolerance.hpp.
#include <ql/backend/cpu/parameters.hpp>
#include <ql/backend/cpu/rows.hpp>
#include <ql/backend/cpu/vocabulary.hpp>

#include "support/numbers.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace ql::test::reference {

using ql::accumulate_t;
using ql::view;
using ql::cpu::context;
using ql::test::normals;
using ql::test::numbers;
using ql::test::tolerance;
using ql::test::wide;
using real = long double;

template <class T>
class Reference : public testing::Test {};
TYPED_TEST_SUITE_P(Reference);

template <class V>
view<std::remove_reference_t<decltype(*std::declval<V&>().data())>, 2> as(V& v, std::int64_t rows) {
  return {v.data(), {rows, static_cast<std::int64_t>(v.size()) / rows}};
}
// the largest |got - exact| / size
struct worst {
  double error = 0;
  void see(double got, real exact, real size) {
    const auto e = static_cast<double>(std::fabs(got - exact) / size);
    if (!(e <= error)) error = e;
  }
};

TYPED_TEST_P(Reference, RmsNorm) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context ctx;
  for (const std::int64_t n : {1, 3, 64, 515}) {
    numbers r(static_cast<std::uint64_t>(n));
    const std::int64_t m = 4;
    const auto x = normals<A>(r, m * n, 3), w = normals<A>(r, n), dy = normals<A>(r, m * n);
    std::vector<T> y(x.size());
    std::vector<A> rstd(static_cast<std::size_t>(m)), dx(x.size()), dw(w.size());
    ql::rms_norm(ctx, as(x, m), w.data(), A(1e-5), as(y, m), rstd.data());
    ql::rms_norm_dx(ctx, as(dy, m), as(x, m), w.data(), static_cast<const A*>(rstd.data()), as(dx, m));
    ql::rms_norm_dw(ctx, as(dy, m), as(x, m), static_cast<const A*>(rstd.data()), dw.data());
    worst forward, backward, weights;
    std::vector<real> edw(w.size()), size(w.size());
    for (std::size_t i = 0; i < static_cast<std::size_t>(m); ++i) {
      const auto at = i * static_cast<std::size_t>(n);
      real squares = 0, projection = 0;
      for (std::size_t j = 0; j < w.size(); ++j) {
        squares += real(x[at + j]) * x[at + j];
        projection += real(dy[at + j]) * w[j] * x[at + j];
      }
      const real s = 1 / std::sqrt(squares / n + real(A(1e-5)));
      for (std::size_t j = 0; j < w.size(); ++j) {
        const real e = x[at + j] * s * w[j];
        forward.see(wide(y[at + j]), e, std::fabs(e));
        const real a = s * dy[at + j] * w[j], b = x[at + j] * s * s * s * projection / n;
        backward.see(wide(dx[at + j]), a - b, std::fabs(a) + std::fabs(b) + 1);
        edw[j] += dy[at + j] * x[at + j] * s;
        size[j] += std::fabs(dy[at + j] * x[at + j] * s);
      }
    }
    for (std::size_t j = 0; j < w.size(); ++j) weights.see(wide(dw[j]), edw[j], size[j]);
    EXPECT_LE(forward.error, tolerance<T>("rms_norm")) << n;
    EXPECT_LE(backward.error, tolerance<T>("rms_norm gradient")) << n;
    EXPECT_LE(weights.error, tolerance<T>("rms_norm gradient")) << n;
  }
}

TYPED_TEST_P(Reference, Swiglu) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context ctx;
  numbers r(2);
  const std::int64_t m = 3, n = 301;
  const auto gate = normals<T>(r, m * n, 4), up = normals<T>(r, m * n);
  const auto dy = normals<A>(r, m * n);
  std::vector<T> y(gate.size());
  std::vector<A> dgate(gate.size()), dup(gate.size());
  ql::swiglu(ctx, as(gate, m), as(up, m), as(y, m));
  ql::swiglu_dx(ctx, as(gate, m), as(up, m), as(dy, m), as(dgate, m), as(dup, m));
  worst forward, backward;
  for (std::size_t i = 0; i < y.size(); ++i) {
    const real g = wide(gate[i]), u = wide(up[i]), d = dy[i], s = 1 / (1 + std::exp(-g));
    forward.see(wide(y[i]), g * s * u, std::fabs(g * u) + real(1e-20));
    backward.see(wide(dup[i]), d * g * s, std::fabs(d * g) + real(1e-20));
    backward.see(wide(dgate[i]), d * u * s * (1 + g * (1 - s)), std::fabs(d * u) * (1 + std::fabs(g)));
  }
  EXPECT_LE(forward.error, tolerance<T>("swiglu"));
  EXPECT_LE(backward.error, tolerance<T>("swiglu gradient"));
}

TYPED_TEST_P(Reference, Embed) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context ctx;
  numbers r(3);
  const std::int64_t entries = 7, k = 301;
  const auto w = normals<A>(r, entries * k);
  const std::vector<ql::token> ids{6, 0, 3, 3};
  std::vector<A> x(static_cast<std::size_t>(4 * k));
  ql::embed(ctx, std::span<const ql::token>(ids), ql::matrix<T>{entries, k, w.data(), nullptr}, as(x, 4));
  for (std::size_t i = 0; i < 4; ++i)
    for (std::size_t j = 0; j < static_cast<std::size_t>(k); ++j) {
      const auto from = w[static_cast<std::size_t>(ids[i] * k) + j];
      ASSERT_EQ(wide(x[i * static_cast<std::size_t>(k) + j]), wide(ql::test::to<T>(wide(from))));
    }
}

TYPED_TEST_P(Reference, LogProbAndEntropy) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context ctx;
  for (const double temperature : {1.0, 0.7}) {
    numbers r(4);
    const std::int64_t rows = 5, depth = 40, entries = 1500;
    const auto hidden = normals<T>(r, rows * depth);
    const auto w = normals<A>(r, entries * depth, 0.5);
    std::vector<T> packed(static_cast<std::size_t>(ql::packed_elements(ctx, T{}, entries, depth)));
    const ql::matrix<T> head{entries, depth, w.data(), packed.data()};
    ql::pack(ctx, head, packed.data());
    std::vector<ql::token> targets;
    for (int i = 0; i < rows; ++i) targets.push_back(static_cast<ql::token>(r.below(entries)));
    std::vector<A> logp(static_cast<std::size_t>(rows)), entropy(logp), lse(logp);
    ql::vocabulary_args<T> a;
    a.head = head;
    a.inverse_temperature = static_cast<A>(1 / temperature);
    a.hidden = as(hidden, rows);
    a.targets = targets;
    a.logp = logp;
    a.entropy = entropy;
    a.lse = lse;
    ql::vocabulary(ctx, a);
    worst p, h;
    for (std::size_t i = 0; i < logp.size(); ++i) {
      std::vector<real> z;
      for (std::size_t v = 0; v < static_cast<std::size_t>(entries); ++v) {
        real dot = 0;
        for (std::size_t k = 0; k < static_cast<std::size_t>(depth); ++k)
          dot += real(wide(hidden[i * static_cast<std::size_t>(depth) + k])) *
                 wide(ql::test::to<T>(wide(w[v * static_cast<std::size_t>(depth) + k])));
        z.push_back(dot * real(a.inverse_temperature));
      }
      const real top = *std::max_element(z.begin(), z.end());
      real sum = 0, mean = 0;
      for (auto e : z) sum += std::exp(e - top), mean += std::exp(e - top) * e;
      const real log_sum = top + std::log(sum);
      p.see(wide(logp[i]), z[static_cast<std::size_t>(targets[i])] - log_sum, 1);
      p.see(wide(lse[i]), log_sum, 1);
      h.see(wide(entropy[i]), log_sum - mean / sum, 1);
    }
    EXPECT_LE(p.error, tolerance<T>("log-prob")) << temperature;
    EXPECT_LE(h.error, tolerance<T>("entropy")) << temperature;
  }
}

REGISTER_TYPED_TEST_SUITE_P(Reference, RmsNorm, Swiglu, Embed, LogProbAndEntropy);

}  // namespace ql::test::reference
