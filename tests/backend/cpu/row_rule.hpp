// SPDX-License-Identifier: Apache-2.0
#pragma once

// The row rule: a row's bits are the same whatever rows are beside it, and for any number of threads.
#include <ql/backend/cpu/linear.hpp>
#include <ql/backend/cpu/parameters.hpp>
#include <ql/backend/cpu/rows.hpp>
#include <ql/backend/cpu/vocabulary.hpp>

#include "support/numbers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ql::test::row_rule {

using ql::accumulate_t;
using ql::matrix;
using ql::view;
using ql::cpu::context;
using ql::test::difference;
using ql::test::numbers;

template <class T>
class RowRule : public testing::Test {};
template <class T>
class RowRuleThreads : public testing::Test {};
TYPED_TEST_SUITE_P(RowRule);
TYPED_TEST_SUITE_P(RowRuleThreads);

inline constexpr std::int64_t most = 300, depth = 301, width = 70, entries = 600;

template <class T>
struct inputs {
  using A = accumulate_t<T>;
  numbers r{1};
  std::vector<T> x = ql::test::normals<T>(r, most* depth);
  std::vector<A> w = ql::test::normals<A>(r, width* depth), head = ql::test::normals<A>(r, entries* depth, 0.1),
                 bias = ql::test::normals<A>(r, width), norm = ql::test::normals<A>(r, depth),
                 dy = ql::test::normals<A>(r, most* width), stream = ql::test::normals<A>(r, most* depth);
  std::vector<T> w_packed, head_packed;
  std::vector<ql::token> targets = std::vector<ql::token>(most);

  explicit inputs(context& ctx)
      : w_packed(static_cast<std::size_t>(ql::packed_elements(ctx, T{}, width, depth))),
        head_packed(static_cast<std::size_t>(ql::packed_elements(ctx, T{}, entries, depth))) {
    ql::pack(ctx, weight(), w_packed.data());
    ql::pack(ctx, vocabulary(), head_packed.data());
    for (auto& t : targets) t = static_cast<ql::token>(r.below(entries));
  }
  matrix<T> weight() const { return {width, depth, w.data(), w_packed.data()}; }
  matrix<T> vocabulary() const { return {entries, depth, head.data(), head_packed.data()}; }
};

// All results for rows [first, first + m).
template <class T>
struct results {
  using A = accumulate_t<T>;
  std::vector<T> linear, norm;
  std::vector<A> sum, added, dx, rstd, logp, entropy, lse, z;

  results(context& ctx, const inputs<T>& in, std::int64_t first, std::int64_t m) {
    const auto n = static_cast<std::size_t>(m);
    linear.resize(n * width), norm.resize(n * depth), sum.resize(n * width), dx.resize(n * depth), rstd.resize(n);
    logp.resize(n), entropy.resize(n), lse.resize(n), z.resize(n * entries);
    added.assign(in.dy.begin() + first * width, in.dy.begin() + (first + m) * width);
    const view<const T, 2> x(in.x.data() + first * depth, {m, depth});
    const view<const A, 2> dy(in.dy.data() + first * width, {m, width}),
        stream(in.stream.data() + first * depth, {m, depth});
    ql::linear(ctx, x, in.weight(), in.bias.data(), view<T, 2>(linear.data(), {m, width}));
    ql::linear_sum(ctx, x, in.weight(), in.bias.data(), view<A, 2>(sum.data(), {m, width}));
    ql::linear_add(ctx, x, in.weight(), view<A, 2>(added.data(), {m, width}));
    ql::linear_dx(ctx, dy, in.weight(), view<A, 2>(dx.data(), {m, depth}), false);
    ql::rms_norm(ctx, stream, in.norm.data(), A(1e-6), view<T, 2>(norm.data(), {m, depth}), rstd.data());
    ql::vocabulary_args<T> a;
    a.head = in.vocabulary();
    a.inverse_temperature = A(1 / 0.7);
    a.hidden = x;
    a.targets = std::span(in.targets).subspan(static_cast<std::size_t>(first), n);
    a.logp = logp;
    a.entropy = entropy;
    a.lse = lse;
    ql::vocabulary(ctx, a);
    std::vector<ql::logit_row<A>> rows(n);
    const auto pieces = (entries + 15) / 16;
    std::vector<A> partial(n * pieces);
    ql::logits(ctx, a.head, x, a.inverse_temperature, view<A, 2>(z.data(), {m, entries}), std::span(rows),
               view<A, 2>(partial.data(), {m, pieces}));
    for (std::size_t i = 0; i < n; ++i) {
      // what is sampled from is what is scored
      EXPECT_EQ(difference(rows[i].lse, lse[i]), "");
      EXPECT_EQ(difference(rows[i].entropy, entropy[i]), "");
      EXPECT_EQ(difference(static_cast<A>(z[i * entries + static_cast<std::size_t>(a.targets[i])] - lse[i]), logp[i]),
                "");
    }
    z.insert(z.end(), partial.begin(), partial.end());
  }
  // Where rows [first, first + other's) of this differ from another's.
  std::string compare(const results& part, std::int64_t first) const {
    const auto m = part.rstd.size(), at = static_cast<std::size_t>(first);
    const auto one = [&](const auto& mine, const auto& theirs, std::size_t columns, const char* name) -> std::string {
      using E = typename std::remove_cvref_t<decltype(mine)>::value_type;
      const auto d = difference(std::span<const E>(theirs).first(m * columns),
                                std::span<const E>(mine).subspan(at * columns, m * columns));
      return d.empty() ? d : std::string(name) + ": " + d;
    };
    return one(linear, part.linear, width, "linear") + one(sum, part.sum, width, "linear_sum") +
           one(added, part.added, width, "linear_add") + one(dx, part.dx, depth, "linear_dx") +
           one(norm, part.norm, depth, "rms_norm") + one(rstd, part.rstd, 1, "rstd") + one(logp, part.logp, 1, "logp") +
           one(entropy, part.entropy, 1, "entropy") + one(lse, part.lse, 1, "lse") + one(z, part.z, entries, "logits");
  }
};

TYPED_TEST_P(RowRule, RowsDoNotKnowTheirNeighbours) {
  using T = TypeParam;
  context ctx;
  const inputs<T> in(ctx);
  const results<T> all(ctx, in, 0, most);
  numbers r(2);
  for (const std::int64_t m : {1, 2, 3, 7, 16, 33, 64, 65, 130})
    for (int i = 0; i < 2; ++i) {
      const auto first = r.below(most - m + 1);
      EXPECT_EQ(all.compare(results<T>(ctx, in, first, m), first), "") << m << " rows from " << first;
    }
}

TYPED_TEST_P(RowRuleThreads, AnyNumberOfThreadsGivesTheSameBits) {
  using T = TypeParam;
  context one;
  const inputs<T> in(one);
  const results<T> all(one, in, 0, most);
  for (const int threads : {2, 4}) {
    context ctx{{.threads = threads}};
    for (const std::int64_t m : {std::int64_t{1}, std::int64_t{64}, most})
      EXPECT_EQ(all.compare(results<T>(ctx, in, 0, m), 0), "") << threads << " threads, " << m << " rows";
  }
}

// Gradients of weights belong to the data: threads split elements, never the sum.
TYPED_TEST_P(RowRuleThreads, GradientsOfWeights) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context one;
  const inputs<T> in(one);
  std::vector<A> dw, db, norm, embedding, dhead, dhidden;
  for (const int threads : {1, 2, 4}) {
    context ctx{{.threads = threads}};
    std::vector<A> w(width * depth), b(width), g(depth), e(entries * depth), h(entries * depth), d(most * depth),
        rstd(most, A(0.5));
    const view<const A, 2> dy(in.dy.data(), {most, width}), stream(in.stream.data(), {most, depth});
    const view<const T, 2> x(in.x.data(), {most, depth});
    ql::linear_dw(ctx, dy, x, view<A, 2>(w.data(), {width, depth}));
    ql::column_sum(ctx, dy, view<A, 1>(b));
    ql::rms_norm_dw(ctx, stream, stream, static_cast<const A*>(rstd.data()), g.data());
    ql::embed_dw(ctx, std::span<const ql::token>(in.targets), stream, view<A, 2>(e.data(), {entries, depth}));
    std::vector<A> logp(most), entropy(most), lse(most), ones(most, A(1));
    ql::vocabulary_dx_args<T> v;
    v.forward.head = in.vocabulary();
    v.forward.hidden = x;
    v.forward.targets = in.targets;
    v.forward.logp = logp;
    v.forward.entropy = entropy;
    v.forward.lse = lse;
    ql::vocabulary(ctx, v.forward);
    v.dlogp = ones;
    v.dentropy = ones;
    v.dhidden = d.data();
    v.dhead = h.data();
    ql::vocabulary_dx(ctx, v);
    if (threads == 1) dw = w, db = b, norm = g, embedding = e, dhead = h, dhidden = d;
    EXPECT_EQ(difference(w, dw), "") << threads;
    EXPECT_EQ(difference(b, db), "") << threads;
    EXPECT_EQ(difference(g, norm), "") << threads;
    EXPECT_EQ(difference(e, embedding), "") << threads;
    EXPECT_EQ(difference(h, dhead), "") << threads;
    EXPECT_EQ(difference(d, dhidden), "") << threads;
  }
}

REGISTER_TYPED_TEST_SUITE_P(RowRule, RowsDoNotKnowTheirNeighbours);
REGISTER_TYPED_TEST_SUITE_P(RowRuleThreads, AnyNumberOfThreadsGivesTheSameBits, GradientsOfWeights);

}  // namespace ql::test::row_rule
