// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/backend/cuda/fast.hpp>

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
template <class T, class Context>
product_results<T> on_device(Context& ctx, const product_inputs<T>& in, std::int64_t first, std::int64_t m) {
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

// A library of products for the emulated device: sums in double, over host copies.
class sums_in_double {
 public:
  explicit sums_in_double(ql::cuda::emulated_device& on) : on_(&on) {}
  void multiply(const ql::cuda::dense_product& p) {
    if (p.bf16_in && p.bf16_out) return run<bf16, bf16>(p);
    if (p.bf16_in) return run<bf16, float>(p);
    ASSERT_FALSE(p.bf16_out);
    run<float, float>(p);
  }

 private:
  template <class E>
  std::vector<E> fetched(const void* p, std::int64_t n) {
    std::vector<E> v(static_cast<std::size_t>(n));
    on_->copy_out(v.data(), p, v.size() * sizeof(E));
    return v;
  }
  template <class In, class Out>
  void run(const ql::cuda::dense_product& p) {
    ASSERT_TRUE(p.a_row == 1 || p.a_k == 1);
    ASSERT_TRUE(p.b_row == 1 || p.b_k == 1);
    const auto a = fetched<In>(p.a, (p.rows - 1) * p.a_row + (p.depth - 1) * p.a_k + 1);
    const auto b = fetched<In>(p.b, (p.columns - 1) * p.b_row + (p.depth - 1) * p.b_k + 1);
    auto c = fetched<Out>(p.c, (p.rows - 1) * p.ldc + p.columns);
    const auto element = [](const auto& v, std::int64_t i) { return wide(v[static_cast<std::size_t>(i)]); };
    for (std::int64_t m = 0; m < p.rows; ++m)
      for (std::int64_t n = 0; n < p.columns; ++n) {
        double sum = p.add ? element(c, m * p.ldc + n) : 0;
        for (std::int64_t k = 0; k < p.depth; ++k)
          sum += element(a, m * p.a_row + k * p.a_k) * element(b, n * p.b_row + k * p.b_k);
        c[static_cast<std::size_t>(m * p.ldc + n)] = Out(static_cast<float>(sum));
      }
    on_->copy_in(p.c, c.data(), c.size() * sizeof(Out));
  }
  ql::cuda::emulated_device* on_;
};
using emulated_fast_context = ql::cuda::basic_fast_context<ql::cuda::emulated_device, sums_in_double>;
static_assert(!emulated_fast_context::exact && execution_context<emulated_fast_context>);

// Every product goes through the library: what it is given and what becomes of its total is what the exact kernel
// computes, but for the order of sums.
TYPED_TEST_P(CudaProducts, ByALibrary) {
  using T = TypeParam;
  const product_inputs<T> in;
  const auto c = on_cpu(in);
  emulated_fast_context ctx(std::make_unique<ql::cuda::emulated_device>(
      ql::cuda::emulated_device::options{{.check_races = true}, std::size_t{1} << 29}));
  for (const std::int64_t m : {most, std::int64_t{1}}) {
    const auto d = on_device(ctx, in, 0, m);
    const auto near = [&](const auto& got, const auto& whole, std::int64_t columns, double size) {
      auto expected = whole;
      expected.resize(static_cast<std::size_t>(m * columns));
      return distance(got, expected, size);
    };
    const double bound = tolerance<T>("product") * static_cast<double>(depth);
    EXPECT_LT(near(d.sum, c.sum, width, 1), bound) << m;
    EXPECT_LT(near(d.added, c.added, width, 1), bound) << m;
    EXPECT_LT(near(d.dx, c.dx, depth, 1), bound) << m;
    EXPECT_LT(near(d.dx_added, c.dx_added, depth, 1), bound) << m;
    EXPECT_LT(near(d.rounded, c.rounded, width, 64), tolerance<T>("product, rounded")) << m;
    if (m == most) {
      EXPECT_LT(distance(d.dw, c.dw), bound);
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

REGISTER_TYPED_TEST_SUITE_P(CudaProducts, AgreeWithTheCpu, ByALibrary, RowsDoNotKnowTheirNeighbours);

}  // namespace ql::test::device
