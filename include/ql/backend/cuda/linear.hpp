// SPDX-License-Identifier: Apache-2.0
#pragma once

// Products. One body for every number of rows: k goes in ascending steps of tile_depth whatever the tile holds.

#include <ql/backend/cuda/body/product.hpp>
#include <ql/backend/cuda/rows.hpp>

namespace ql {
namespace cuda::detail {

// The arguments of y (op) x W^T.
template <class T, class Y>
product_arguments<T, T> forward_arguments(const char* op, const device_view<const T, 2>& x, const matrix<T>& w,
                                          const Y& y) {
  expects_like(op, "x", x, x.extent(0), w.columns);
  expects_like(op, "y", y, x.extent(0), w.rows);
  ql::detail::expects<state_error>(w.packed != nullptr, op, "weight", "packed (published) weights", "none");
  product_arguments<T, T> p;
  p.a = x.data_handle();
  p.a_row = x.stride(0);
  p.a_k = 1;
  p.b = w.packed;
  p.b_row = w.columns;
  p.b_k = 1;
  p.rows = x.extent(0);
  p.columns = w.rows;
  p.depth = w.columns;
  return p;
}

}  // namespace cuda::detail

template <>
struct kernel<linear_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, cuda::device_view<const T, 2> x, const matrix<T>& w, const accumulate_t<T>* bias,
                  cuda::device_view<T, 2> y) {
    auto p = cuda::detail::forward_arguments("linear", x, w, y);
    p.what = cuda::epilogue::round;
    p.t = y.data_handle();
    p.ldt = y.stride(0);
    p.bias = bias;
    ctx.template multiply<cuda::forward_product<T>>(p);
  }
};

template <>
struct kernel<linear_sum_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, cuda::device_view<const T, 2> x, const matrix<T>& w, const accumulate_t<T>* bias,
                  cuda::device_view<accumulate_t<T>, 2> y) {
    auto p = cuda::detail::forward_arguments("linear_sum", x, w, y);
    p.what = cuda::epilogue::store;
    p.c = y.data_handle();
    p.ldc = y.stride(0);
    p.bias = bias;
    ctx.template multiply<cuda::forward_product<T>>(p);
  }
};

template <>
struct kernel<linear_add_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, cuda::device_view<const T, 2> x, const matrix<T>& w,
                  cuda::device_view<accumulate_t<T>, 2> y) {
    auto p = cuda::detail::forward_arguments("linear_add", x, w, y);
    p.what = cuda::epilogue::add;
    p.c = y.data_handle();
    p.ldc = y.stride(0);
    ctx.template multiply<cuda::forward_product<T>>(p);
  }
};

template <>
struct kernel<linear_dx_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, cuda::device_view<const float, 2> dy, const matrix<T>& w,
                  cuda::device_view<float, 2> dx, bool add) {
    cuda::detail::expects_like("linear_dx", "dy", dy, dx.extent(0), w.rows);
    cuda::detail::expects_like("linear_dx", "dx", dx, dy.extent(0), w.columns);
    ql::detail::expects<state_error>(w.packed != nullptr, "linear_dx", "weight", "packed (published) weights", "none");
    cuda::product_arguments<T, float> p;
    p.a = dy.data_handle();
    p.a_row = dy.stride(0);
    p.a_k = 1;
    p.b = w.packed;
    p.b_row = 1;
    p.b_k = w.columns;
    p.rows = dy.extent(0);
    p.columns = w.columns;
    p.depth = w.rows;
    p.what = add ? cuda::epilogue::add : cuda::epilogue::store;
    p.c = dx.data_handle();
    p.ldc = dx.stride(0);
    ctx.template multiply<cuda::input_product<T>>(p);
  }
};

template <>
struct kernel<linear_dw_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, cuda::device_view<const float, 2> dy, cuda::device_view<const T, 2> x,
                  cuda::device_view<float, 2> dw) {
    cuda::detail::expects_like("linear_dw", "dy", dy, x.extent(0), dw.extent(0));
    cuda::detail::expects_like("linear_dw", "x", x, dy.extent(0), dw.extent(1));
    ql::detail::expects_adjacent("linear_dw", "dw", dw);
    if (dy.extent(0) == 0) return;
    cuda::product_arguments<T, float> p;
    p.a = dy.data_handle();
    p.a_row = 1;
    p.a_k = dy.stride(0);
    p.b = x.data_handle();
    p.b_row = 1;
    p.b_k = x.stride(0);
    p.rows = dw.extent(0);
    p.columns = dw.extent(1);
    p.depth = dy.extent(0);
    p.what = cuda::epilogue::chain;
    p.c = dw.data_handle();
    p.ldc = dw.stride(0);
    ctx.template multiply<cuda::weight_product<T>>(p);
  }
};

template <>
struct kernel<column_sum_op, cuda::backend> {
  template <cuda::any_context Context>
  static void run(Context& ctx, cuda::device_view<const float, 2> dy, cuda::device_view<float, 1> db) {
    ql::detail::expects_shape("column_sum", "db", {dy.extent(1)}, db.extents());
    ql::detail::expects_adjacent("column_sum", "dy", dy);
    ql::detail::expects_dense("column_sum", "db", db);
    cuda::detail::for_each_element(ctx, db.extent(0),
                                   cuda::column_element{dy.data_handle(),
                                                        cuda::detail::plain_rows(dy.stride(0)),
                                                        nullptr,
                                                        {0, 0, 1},
                                                        nullptr,
                                                        {0, 0, 1},
                                                        dy.extent(0),
                                                        db.data_handle()});
  }
};

}  // namespace ql
