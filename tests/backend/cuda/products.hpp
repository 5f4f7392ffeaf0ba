// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "backend/cuda/operations.hpp"

namespace ql::test::device {

template <class T>
class CudaProducts : public testing::Test {};
TYPED_TEST_SUITE_P(CudaProducts);

inline constexpr std::int64_t most = 150, depth = 301, width = 70;

template <class T>
struct product_inputs {
  using A = accumulate_t<T>;
  numbers r{1};
  std::vector<T> x = normals<T>(r, most* depth);
  std::vector<A> w = normals<A>(r, width* depth), bias = normals<A>(r, width), dy = normals<A>(r, most* width),
                 sums = normals<A>(r, most* width), dx = normals<A>(r, most* depth), dw = normals<A>(r, width* depth);
};
template <class T>
struct product_results {
  using A = accumulate_t<T>;
  std::vector<T> rounded;
  std::vector<A> sum, added, dx, dx_added, dw;
};

// On the device, rows [first, first + m) of the inputs.
template <class T>
product_results<T> on_device(emulated_context& ctx, const product_inputs<T>& in, std::int64_t first, std::int64_t m) {
  using A = accumulate_t<T>;
  const auto part = [&](const auto& v, std::int64_t columns) {
    return std::remove_cvref_t<decltype(v)>(v.begin() + first * columns, v.begin() + (first + m) * columns);
  };
  mirror<A> w(ctx, in.w), bias(ctx, in.bias), dy(ctx, part(in.dy, width)), added(ctx, part(in.sums, width)),
      sum(ctx, part(in.sums, width)), dx(ctx, part(in.dx, depth)), dx_added(ctx, part(in.dx, depth)), dw(ctx, in.dw);
  mirror<T> x(ctx, part(in.x, depth)), packed(ctx, std::vector<T>(in.w.size())),
      y(ctx, std::vector<T>(static_cast<std::size_t>(m * width)));
  matrix<T> weight{width, depth, w.data(), packed.data()};
  ql::pack(ctx, weight, packed.data());
  ql::linear(ctx, x.in(m), weight, static_cast<const A*>(bias.data()), y.as(m));
  ql::linear_sum(ctx, x.in(m), weight, static_cast<const A*>(bias.data()), sum.as(m));
  ql::linear_add(ctx, x.in(m), weight, added.as(m));
  ql::linear_dx(ctx, dy.in(m), weight, dx.as(m), false);
  ql::linear_dx(ctx, dy.in(m), weight, dx_added.as(m), true);
  ql::linear_dw(ctx, dy.in(m), x.in(m), dw.as(width));
  return {y.host(), sum.host(), added.host(), dx.host(), dx_added.host(), dw.host()};
}
template <class T>
product_results<T> on_cpu(const product_inputs<T>& in) {
  using A = accumulate_t<T>;
  cpu::context ctx;
  product_results<T> out{std::vector<T>(most * width), in.sums, in.sums, in.dx, in.dx, in.dw};
  std::vector<T> packed(static_cast<std::size_t>(ql::packed_elements(ctx, T{}, width, depth)));
  matrix<T> weight{width, depth, in.w.data(), packed.data()};
  ql::pack(ctx, weight, packed.data());
  const view<const T, 2> x(in.x.data(), {most, depth});
  const view<const A, 2> dy(in.dy.data(), {most, width});
  ql::linear(ctx, x, weight, in.bias.data(), view<T, 2>(out.rounded.data(), {most, width}));
  ql::linear_sum(ctx, x, weight, in.bias.data(), view<A, 2>(out.sum.data(), {most, width}));
  ql::linear_add(ctx, x, weight, view<A, 2>(out.added.data(), {most, width}));
  ql::linear_dx(ctx, dy, weight, view<A, 2>(out.dx.data(), {most, depth}), false);
  ql::linear_dx(ctx, dy, weight, view<A, 2>(out.dx_added.data(), {most, depth}), true);
  ql::linear_dw(ctx, dy, x, view<A, 2>(out.dw.data(), {width, depth}));
  return out;
}

// float: the same blocks of k, so the same bits. bf16: the matrix unit's order is its own.
TYPED_TEST_P(CudaProducts, AgreeWithTheCpu) {
  using T = TypeParam;
  const product_inputs<T> in;
  const auto c = on_cpu(in);
  for (const bool backwards : {false, true}) {
    auto ctx = device_context({.check_races = true, .backwards = backwards});
    const auto d = on_device(ctx, in, 0, most);
    if constexpr (std::is_same_v<T, float>) {
      EXPECT_EQ(difference(d.rounded, c.rounded), "");
      EXPECT_EQ(difference(d.sum, c.sum), "");
      EXPECT_EQ(difference(d.added, c.added), "");
      EXPECT_EQ(difference(d.dx, c.dx), "");
      EXPECT_EQ(difference(d.dx_added, c.dx_added), "");
      EXPECT_EQ(difference(d.dw, c.dw), "");
    } else {
      // sums of `depth` products of about 1: their sizes are about depth
      const double bound = tolerance<T>("product") * static_cast<double>(depth);
      EXPECT_LT(distance(d.sum, c.sum), bound);
      EXPECT_LT(distance(d.added, c.added), bound);
      EXPECT_LT(distance(d.dx, c.dx), bound);
      EXPECT_LT(distance(d.dx_added, c.dx_added), bound);
      EXPECT_LT(distance(d.dw, c.dw), bound);
      EXPECT_LT(distance(d.rounded, c.rounded, 64), tolerance<T>("product, rounded"));
    }
  }
}

TYPED_TEST_P(CudaProducts, RowsDoNotKnowTheirNeighbours) {
  using T = TypeParam;
  const product_inputs<T> in;
  auto ctx = device_context({});
  const auto all = on_device(ctx, in, 0, most);
  for (const std::int64_t m : {1, 3, 64, 65}) {
    const std::int64_t first = most - m - 7;
    const auto part = on_device(ctx, in, first, m);
    const auto same = [&](const auto& whole, const auto& got, std::int64_t columns) {
      using E = typename std::remove_cvref_t<decltype(got)>::value_type;
      return difference(std::span<const E>(got),
                        std::span<const E>(whole).subspan(static_cast<std::size_t>(first * columns), got.size()));
    };
    EXPECT_EQ(same(all.rounded, part.rounded, width), "") << m;
    EXPECT_EQ(same(all.sum, part.sum, width), "") << m;
    EXPECT_EQ(same(all.added, part.added, width), "") << m;
    EXPECT_EQ(same(all.dx, part.dx, depth), "") << m;
    EXPECT_EQ(same(all.dx_added, part.dx_added, depth), "") << m;
  }
}

REGISTER_TYPED_TEST_SUITE_P(CudaProducts, AgreeWithTheCpu, RowsDoNotKnowTheirNeighbours);

}  // namespace ql::test::device
