// SPDX-License-Identifier: Apache-2.0
#pragma once

// The order of every reduction along rows, columns and the vocabulary, bit for bit, against docs/numerics.md 5-7.
#include <ql/backend/cpu/parameters.hpp>
#include <ql/backend/cpu/rows.hpp>
#include <ql/backend/cpu/vocabulary.hpp>

#include "backend/cpu/model.hpp"
#include "support/numbers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace ql::test::order_rows {

using ql::accumulate_t;
using ql::view;
using ql::cpu::context;
using ql::cpu::kernels;
using ql::test::difference;
using ql::test::numbers;
namespace model = ql::test::model;

template <class T>
class RowOrder : public testing::Test {};
TYPED_TEST_SUITE_P(RowOrder);

template <class V>
auto element(const V& v) {
  return [&v](std::int64_t i) { return v[static_cast<std::size_t>(i)]; };
}

TYPED_TEST_P(RowOrder, SixteenLanesAndTheTree) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  for (auto name : ql::cpu::kernel_names())
    for (const std::int64_t n : {1, 2, 15, 16, 17, 31, 33, 100, 256, 301}) {
      const auto& k = kernels<T>(name);
      ql::cpu::flush_subnormals scope;
      numbers r(static_cast<std::uint64_t>(n));
      const auto x = ql::test::awkward<A>(r, n), dy = ql::test::normals<A>(r, n), w = ql::test::normals<A>(r, n);
      const auto y = ql::test::normals<T>(r, n);
      const A dot = model::lane_sum<A>([&](auto i) { return model::rounded(element(x)(i), T{}); },
                                       [&](auto i) { return model::widened(element(y)(i)); }, n);
      EXPECT_EQ(difference(k.dot(x.data(), y.data(), n), dot), "") << name << " " << n;

      const A eps = A(1e-5), squares = model::lane_sum<A>(element(x), element(x), n);
      const A rstd = A(1) / std::sqrt(squares / static_cast<A>(n) + eps);
      std::vector<A> sums(static_cast<std::size_t>(n)), expected(sums);
      std::vector<T> stored(sums.size()), estored(sums.size());
      A got = 0;
      k.rms_norm(x.data(), w.data(), eps, n, stored.data(), sums.data(), &got);
      for (std::size_t i = 0; i < expected.size(); ++i)
        expected[i] = x[i] * rstd * w[i], estored[i] = static_cast<T>(expected[i]);
      EXPECT_EQ(difference(got, rstd), "") << name << " " << n;
      EXPECT_EQ(difference(sums, expected), "") << name << " " << n;
      EXPECT_EQ(difference(stored, estored), "") << name << " " << n;

      // dx += r (dy w) - x r^3 projection / n
      const auto v = ql::test::normals<A>(r, n);
      std::vector<A> dx = ql::test::normals<A>(r, n), edx(dx);
      const A norm = A(0.7);
      k.rms_norm_dx(dy.data(), v.data(), w.data(), norm, n, dx.data());
      const A projection = model::lane_sum<A>([&](auto i) { return element(dy)(i) * element(w)(i); }, element(v), n);
      const A f = norm * norm * norm * -projection / static_cast<A>(n);
      for (std::size_t i = 0; i < edx.size(); ++i) edx[i] = edx[i] + std::fma(v[i], f, dy[i] * w[i] * norm);
      EXPECT_EQ(difference(dx, edx), "") << name << " " << n;
    }
}

TYPED_TEST_P(RowOrder, ColumnsInBlocksOf256Rows) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  for (auto name : ql::cpu::kernel_names())
    for (const std::int64_t rows : {1, 255, 256, 257, 600}) {
      const auto& k = kernels<T>(name);
      ql::cpu::flush_subnormals scope;
      numbers r(static_cast<std::uint64_t>(rows));
      constexpr std::int64_t n = 19;
      const auto dy = ql::test::normals<A>(r, rows * n), x = ql::test::normals<A>(r, rows * n),
                 rstd = ql::test::normals<A>(r, rows);
      std::vector<A> db = ql::test::normals<A>(r, n), dw = ql::test::normals<A>(r, n), edb(db), edw(dw);
      k.column_sum({dy.data(), n, 0, 1, 1}, rows, 0, n, db.data());
      k.rms_norm_dw({dy.data(), n, 0, 1, 1}, {x.data(), n, 0, 1, 1}, rstd.data(), rows, 0, n, dw.data());
      for (std::size_t j = 0; j < n; ++j)
        for (std::int64_t r0 = 0; r0 < rows; r0 += 256) {
          A sum = 0, chain = 0;
          for (auto i = static_cast<std::size_t>(r0); i < static_cast<std::size_t>(std::min(rows, r0 + 256)); ++i) {
            sum = sum + dy[i * n + j];
            chain = std::fma(dy[i * n + j], x[i * n + j] * rstd[i], chain);
          }
          edb[j] = edb[j] + sum;
          edw[j] = edw[j] + chain;
        }
      EXPECT_EQ(difference(db, edb), "") << name << " " << rows;
      EXPECT_EQ(difference(dw, edw), "") << name << " " << rows;
    }
}

TYPED_TEST_P(RowOrder, SoftmaxOfABlockOfKeys) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  for (auto name : ql::cpu::kernel_names()) {
    const auto& k = kernels<T>(name);
    ql::cpu::flush_subnormals scope;
    for (std::int32_t visible = 1; visible <= 64; visible += 7) {
      numbers r(static_cast<std::uint64_t>(visible));
      std::vector<A> s = ql::test::normals<A>(r, 64, 4), p(64);
      const A old_max = static_cast<A>(r.normal()), old_sum = static_cast<A>(r.uniform(1, 3)), scale = A(0.25);
      A max = old_max, sum = old_sum, factor = 0;
      A top = -std::numeric_limits<A>::infinity();
      for (int i = 0; i < visible; ++i) top = std::max(top, s[static_cast<std::size_t>(i)] * scale);
      top = std::max(top, old_max);
      A lane[16] = {};
      for (std::size_t i = 0; i < 64; ++i) {
        p[i] = i < static_cast<std::size_t>(visible) ? ql::math::exp(s[i] * scale - top) : A(0);
        lane[i % 16] = lane[i % 16] + p[i];
      }
      const A f = ql::math::exp(old_max - top), l = std::fma(old_sum, f, model::tree(lane));
      k.softmax_block(s.data(), 1, &visible, scale, &max, &sum, &factor);
      EXPECT_EQ(difference(s, p), "") << name << " " << visible;
      EXPECT_EQ(difference(std::vector<A>{max, sum, factor}, {top, l, f}), "") << name << " " << visible;
    }
  }
}

// Scoring, sampling and the scalar model: one log-sum-exp in blocks of 512 entries.
TYPED_TEST_P(RowOrder, VocabularyInBlocksOf512) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context ctx;
  for (const std::int64_t size : {5, 512, 513, 1300}) {
    numbers r(static_cast<std::uint64_t>(size));
    const std::int64_t rows = 3, depth = 24;
    const auto w = ql::test::normals<A>(r, size * depth);
    std::vector<T> packed(static_cast<std::size_t>(ql::packed_elements(ctx, T{}, size, depth)));
    const ql::matrix<T> head{size, depth, w.data(), packed.data()};
    ql::pack(ctx, head, packed.data());
    const auto hidden = ql::test::normals<T>(r, rows * depth);
    const std::vector<ql::token> targets{0, static_cast<ql::token>(size - 1), static_cast<ql::token>(size / 2)};
    std::vector<A> logp(3), entropy(3), lse(3), elogp(3), eentropy(3), else_(3);
    const A inverse = A(1) / A(0.7);
    ql::vocabulary_args<T> a;
    a.head = head;
    a.inverse_temperature = inverse;
    a.hidden = {hidden.data(), {rows, depth}};
    a.targets = targets;
    a.logp = logp;
    a.entropy = entropy;
    a.lse = lse;
    ql::vocabulary(ctx, a);
    std::vector<A> z(static_cast<std::size_t>(rows * size)), ez(z),
        partial(static_cast<std::size_t>(rows * ((size + 15) / 16)));
    std::vector<ql::logit_row<A>> row(3);
    ql::logits(ctx, head, a.hidden, inverse, view<A, 2>(z.data(), {rows, size}), std::span(row),
               view<A, 2>(partial.data(), {rows, (size + 15) / 16}));
    ctx.parallel_for(1, [&](std::int64_t) {
      for (std::int64_t i = 0; i < rows; ++i) {
        model::running<A> s;
        A* const to = ez.data() + i * size;
        for (std::int64_t v = 0; v < size; ++v)
          to[v] = model::product<T>(
              [&](auto kk) { return model::widened(hidden[static_cast<std::size_t>(i * depth + kk)]); },
              [&](auto kk) { return model::rounded(w[static_cast<std::size_t>(v * depth + kk)], T{}); }, depth);
        for (std::int64_t v = 0; v < size; v += 512) s.block(to + v, std::min<std::int64_t>(512, size - v), inverse);
        const auto at = static_cast<std::size_t>(i);
        else_[at] = s.lse();
        elogp[at] = to[targets[at]] - s.lse();
        eentropy[at] = s.entropy();
      }
    });
    EXPECT_EQ(difference(lse, else_), "") << size;
    EXPECT_EQ(difference(logp, elogp), "") << size;
    EXPECT_EQ(difference(entropy, eentropy), "") << size;
    EXPECT_EQ(difference(z, ez), "") << size;
    for (std::size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(difference(row[i].lse, lse[i]), "");
      EXPECT_EQ(difference(row[i].entropy, entropy[i]), "");
      // what a sampler inverts: sums of exp(z - max) over sixteen entries, together the row's sum
      double all = 0;
      for (std::size_t j = 0; j < partial.size() / 3; ++j)
        all += static_cast<double>(partial[i * (partial.size() / 3) + j]);
      EXPECT_NEAR(all / static_cast<double>(row[i].sum), 1.0, 1e-6);
    }
  }
}

REGISTER_TYPED_TEST_SUITE_P(RowOrder, SixteenLanesAndTheTree, ColumnsInBlocksOf256Rows, SoftmaxOfABlockOfKeys,
                            VocabularyInBlocksOf512);

}  // namespace ql::test::order_rows
