// SPDX-License-Identifier: Apache-2.0
#pragma once

// Packing, updates and norms of weights. The device's kernel order is row-major.

#include <ql/backend/cuda/rows.hpp>

#include <vector>

namespace ql {

template <>
struct kernel<packed_size_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static std::int64_t run(Context&, T, std::int64_t rows, std::int64_t columns) {
    return rows * columns;
  }
};

template <>
struct kernel<pack_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, const matrix<T>& w, T* packed) {
    cuda::detail::for_each_element(ctx, w.rows * w.columns, cuda::pack_element<T>{w.master, packed});
  }
};

template <>
struct kernel<round_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, T, const float* x, std::int64_t n, float* y) {
    cuda::detail::for_each_element(ctx, n, cuda::round_element<T>{x, y});
  }
};

template <>
struct kernel<fold_op, cuda::backend> {
  template <cuda::any_context Context>
  static void run(Context& ctx, const float* x, std::int64_t n, float* y) {
    cuda::detail::for_each_element(ctx, n, cuda::fold_element{x, y});
  }
};

template <>
struct kernel<clear_op, cuda::backend> {
  template <cuda::any_context Context, class E>
  static void run(Context& ctx, E* x, std::int64_t n) {
    ctx.clear_bytes(x, n);
  }
};

template <>
struct kernel<sum_of_squares_op, cuda::backend> {
  template <cuda::any_context Context>
  static double run(Context& ctx, const float* x, std::int64_t n) {
    const auto blocks = (n + norm_block - 1) / norm_block;
    auto scope = ctx.scratch();
    double* sums = scope.template take<double>(blocks);
    ctx.template launch<cuda::squares_body>({x, n, sums});
    std::vector<double> host(static_cast<std::size_t>(blocks));
    ctx.copy_out(sums, blocks, host.data());
    double sum = 0;
    for (double s : host) sum += s;
    return sum;
  }
};

template <>
struct kernel<adamw_step_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, const adamw_args& args, const matrix<T>& shape, float* w, const float* g, float* m,
                  float* v, T* packed) {
    cuda::detail::for_each_element(ctx, shape.rows * shape.columns, cuda::adamw_element<T>(args, w, g, m, v, packed));
  }
};

template <>
struct kernel<sgd_step_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, const sgd_args& args, const matrix<T>& shape, float* w, const float* g, float* momentum,
                  T* packed) {
    cuda::detail::for_each_element(
        ctx, shape.rows * shape.columns,
        cuda::sgd_element<T>{static_cast<float>(args.momentum), static_cast<float>(args.weight_decay),
                             static_cast<float>(-args.lr), static_cast<float>(args.gradient_scale), args.nesterov, w,
                             momentum, g, packed});
  }
};

}  // namespace ql
