// SPDX-License-Identifier: Apache-2.0
#pragma once

// Optimizer steps: the fused pass has exactly the roundings of the pointwise updates, and leaves the packed copies that
// `pack` would make; against the textbook in double; norms, folds, rounding.
#include <ql/backend/cpu/parameters.hpp>
#include <ql/rl/optimizer.hpp>

#include "support/numbers.hpp"
#include "support/tolerance.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace ql::test::updates {

using ql::accumulate_t;
using ql::matrix;
using ql::cpu::context;
using ql::test::awkward;
using ql::test::difference;
using ql::test::normals;
using ql::test::numbers;
using ql::test::wide;

template <class T>
class Updates : public testing::Test {};
template <class T>
class UpdatesThreads : public testing::Test {};
TYPED_TEST_SUITE_P(Updates);
TYPED_TEST_SUITE_P(UpdatesThreads);

template <class A>
struct state {
  std::vector<A> w, m, v;
  friend bool operator==(const state&, const state&) = default;
};
template <class A>
std::string difference(const state<A>& a, const state<A>& b) {
  for (const auto& d : {difference(a.w, b.w), difference(a.m, b.m), difference(a.v, b.v)})
    if (!d.empty()) return d;
  return {};
}

inline ql::adamw_args args_of(const ql::rl::adamw& o, std::int64_t t, double lr) {
  return {.lr = lr,
          .beta1 = o.beta1,
          .beta2 = o.beta2,
          .eps = o.eps,
          .weight_decay = o.weight_decay,
          .correction1 = 1 - ql::rl::detail::integer_power(o.beta1, t),
          .correction2 = 1 - ql::rl::detail::integer_power(o.beta2, t)};
}

inline constexpr std::int64_t shapes[][2] = {{1, 1}, {3, 7}, {33, 65}, {40, 300}, {64, 513}};

TYPED_TEST_P(Updates, AdamwIsThePointwiseUpdateBitForBit) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context ctx;
  const ql::rl::adamw o{.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.1};
  for (auto name : ql::cpu::kernel_names())
    for (const auto& [n, k] : shapes) {
      ql::cpu::use_kernels(name);
      numbers r(static_cast<std::uint64_t>(n * k));
      state<A> got{normals<A>(r, n * k), std::vector<A>(static_cast<std::size_t>(n * k)),
                   std::vector<A>(static_cast<std::size_t>(n * k))};
      state<A> expected = got;
      std::vector<T> packed(static_cast<std::size_t>(ql::packed_elements(ctx, T{}, n, k))), fresh(packed);
      for (std::int64_t t = 1; t <= 4; ++t) {
        const auto g = t % 2 == 0 ? awkward<A>(r, n * k) : normals<A>(r, n * k);
        const double lr = 1e-3 * static_cast<double>(t);
        const matrix<T> shape{n, k, got.w.data(), packed.data()};
        ql::adamw_step(ctx, args_of(o, t, lr), shape, got.w.data(), g.data(), got.m.data(), got.v.data(),
                       packed.data());
        ctx.parallel_for(1, [&](std::int64_t) {
          const auto c = o.template at<A>(t, lr);
          for (std::size_t i = 0; i < g.size(); ++i) o.update(c, expected.w[i], g[i], expected.m[i], expected.v[i]);
        });
        ASSERT_EQ(difference(got, expected), "") << name << " " << n << "x" << k << " step " << t;
        ql::pack(ctx, shape, fresh.data());
        ASSERT_EQ(difference(packed, fresh), "") << name << " " << n << "x" << k << " step " << t;
      }
      // a vector has no packed copy
      auto plain = expected;
      const auto g = normals<A>(r, n * k);
      ql::adamw_step(ctx, args_of(o, 5, 0.1), matrix<T>{1, n * k, plain.w.data(), nullptr}, plain.w.data(), g.data(),
                     plain.m.data(), plain.v.data(), static_cast<T*>(nullptr));
      ctx.parallel_for(1, [&](std::int64_t) {
        const auto c = o.template at<A>(5, 0.1);
        for (std::size_t i = 0; i < g.size(); ++i) o.update(c, expected.w[i], g[i], expected.m[i], expected.v[i]);
      });
      ASSERT_EQ(difference(plain, expected), "") << name;
    }
  ql::cpu::use_kernels("");
}

TYPED_TEST_P(Updates, AdamwFollowsTheTextbook) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context ctx;
  numbers r(5);
  const std::int64_t n = 100;
  state<A> s{normals<A>(r, n), std::vector<A>(n), std::vector<A>(n)};
  std::vector<long double> w(s.w.begin(), s.w.end()), m(n), v(n);
  const ql::rl::adamw o{.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-6, .weight_decay = 0.1};
  double worst = 0;
  for (int t = 1; t <= 10; ++t) {
    const auto g = normals<A>(r, n);
    const double lr = 0.01, clip = 0.37;
    auto a = args_of(o, t, lr);
    a.gradient_scale = clip;
    ql::adamw_step(ctx, a, matrix<T>{1, n, s.w.data(), nullptr}, s.w.data(), g.data(), s.m.data(), s.v.data(),
                   static_cast<T*>(nullptr));
    for (std::size_t i = 0; i < n; ++i) {
      const long double gi = g[i] * static_cast<long double>(clip);
      m[i] = 0.9L * m[i] + 0.1L * gi;
      v[i] = 0.99L * v[i] + 0.01L * gi * gi;
      w[i] -= lr * 0.1L * w[i];
      w[i] -= lr * (m[i] / (1 - std::pow(0.9L, t))) / (std::sqrt(v[i] / (1 - std::pow(0.99L, t))) + 1e-6L);
      worst = std::fmax(
          worst, std::fabs(wide(s.w[i]) - static_cast<double>(w[i])) / (std::fabs(static_cast<double>(w[i])) + lr));
    }
  }
  EXPECT_LE(worst, ql::test::tolerance<T>("update"));
}

TYPED_TEST_P(Updates, SgdIsThePointwiseUpdateBitForBit) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context ctx;
  for (auto name : ql::cpu::kernel_names())
    for (const bool nesterov : {false, true})
      for (const auto& [n, k] : shapes) {
        ql::cpu::use_kernels(name);
        const ql::rl::sgd o{.momentum = 0.9, .weight_decay = 0.05, .nesterov = nesterov};
        numbers r(static_cast<std::uint64_t>(n + k));
        auto w = normals<A>(r, n * k), b = normals<A>(r, n * k), ew = w, eb = b;
        const auto g = awkward<A>(r, n * k);
        std::vector<T> packed(static_cast<std::size_t>(ql::packed_elements(ctx, T{}, n, k))), fresh(packed);
        const matrix<T> shape{n, k, w.data(), packed.data()};
        ql::sgd_args a;
        a.lr = 0.02;
        a.momentum = o.momentum;
        a.weight_decay = o.weight_decay;
        a.nesterov = nesterov;
        ql::sgd_step(ctx, a, shape, w.data(), g.data(), b.data(), packed.data());
        ctx.parallel_for(1, [&](std::int64_t) {
          const auto c = o.template at<A>(0.02);
          for (std::size_t i = 0; i < g.size(); ++i) o.update(c, ew[i], g[i], eb[i]);
        });
        ASSERT_EQ(difference(w, ew), "") << name << " " << n << "x" << k;
        ASSERT_EQ(difference(b, eb), "") << name << " " << n << "x" << k;
        ql::pack(ctx, shape, fresh.data());
        ASSERT_EQ(difference(packed, fresh), "") << name << " " << n << "x" << k;
      }
  ql::cpu::use_kernels("");
}

// Packed weights: element (k, n) of panel n / 32, pairs of k of a column adjacent for bf16, zeros where nothing is.
TYPED_TEST_P(Updates, PackedLayout) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context ctx;
  constexpr auto pair = ql::cpu::panel_pair<T>;
  for (const auto& [n, k] : shapes) {
    numbers r(9);
    const auto w = normals<A>(r, n * k);
    std::vector<T> packed(static_cast<std::size_t>(ql::packed_elements(ctx, T{}, n, k)), ql::test::to<T>(77.0)),
        expected(packed.size());
    ql::pack(ctx, matrix<T>{n, k, w.data(), nullptr}, packed.data());
    for (std::int64_t i = 0; i < n; ++i)
      for (std::int64_t j = 0; j < k; ++j)
        expected[static_cast<std::size_t>(i / 32 * ql::cpu::panel_size<T>(k) + j / pair * 32 * pair + i % 32 * pair +
                                          j % pair)] = ql::test::to<T>(wide(w[static_cast<std::size_t>(i * k + j)]));
    EXPECT_EQ(difference(packed, expected), "") << n << "x" << k;
  }
}

TYPED_TEST_P(UpdatesThreads, AnyNumberOfThreadsGivesTheSameBits) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  const std::int64_t n = 130, k = 700;
  state<A> first;
  std::vector<T> packed_first;
  std::vector<double> norm_first;
  for (const int threads : {1, 2, 4}) {
    context ctx{{.threads = threads}};
    numbers r(3);
    state<A> s{normals<A>(r, n * k), normals<A>(r, n * k), std::vector<A>(static_cast<std::size_t>(n * k), A(1))};
    const auto g = normals<A>(r, n * k);
    std::vector<T> packed(static_cast<std::size_t>(ql::packed_elements(ctx, T{}, n, k)));
    ql::adamw_step(ctx, args_of({}, 3, 0.01), matrix<T>{n, k, s.w.data(), packed.data()}, s.w.data(), g.data(),
                   s.m.data(), s.v.data(), packed.data());
    const std::vector<double> norm{ql::sum_of_squares(ctx, g.data(), n * k)};
    if (threads == 1) first = s, packed_first = packed, norm_first = norm;
    EXPECT_EQ(difference(s, first), "") << threads;
    EXPECT_EQ(difference(packed, packed_first), "") << threads;
    EXPECT_EQ(difference(norm, norm_first), "") << threads;
  }
}

TYPED_TEST_P(Updates, SumsFoldsClearsAndRounds) {
  using T = TypeParam;
  using A = accumulate_t<T>;
  context ctx{{.threads = 2}};
  numbers r(4);
  const std::int64_t n = 3 * 65536 + 17;
  const auto x = normals<A>(r, n);
  long double exact = 0;
  for (auto e : x) exact += static_cast<long double>(e) * e;
  EXPECT_NEAR(ql::sum_of_squares(ctx, x.data(), n) / static_cast<double>(exact), 1.0, 1e-14);
  EXPECT_EQ(ql::sum_of_squares(ctx, x.data(), std::int64_t{0}), 0.0);
  auto y = normals<A>(r, n), sum = y, rounded = y, expected = y;
  ql::fold(ctx, x.data(), n, y.data());
  for (std::size_t i = 0; i < sum.size(); ++i)
    sum[i] = sum[i] + x[i], expected[i] = static_cast<A>(wide(ql::test::to<T>(wide(x[i]))));
  EXPECT_EQ(difference(y, sum), "");
  ql::round_to(ctx, T{}, x.data(), n, rounded.data());
  EXPECT_EQ(difference(rounded, expected), "");
  ql::clear(ctx, y.data(), n);
  EXPECT_EQ(y, std::vector<A>(y.size()));
}

REGISTER_TYPED_TEST_SUITE_P(Updates, AdamwIsThePointwiseUpdateBitForBit, AdamwFollowsTheTextbook,
                            SgdIsThePointwiseUpdateBitForBit, PackedLayout, SumsFoldsClearsAndRounds);
REGISTER_TYPED_TEST_SUITE_P(UpdatesThreads, AnyNumberOfThreadsGivesTheSameBits);

}  // namespace ql::test::updates
