// SPDX-License-Identifier: Apache-2.0
#pragma once

// Operations row by row: embedding, norm, SwiGLU.

#include <ql/backend/cuda/body/rows.hpp>
#include <ql/backend/cuda/context.hpp>
#include <ql/tensor/operations.hpp>

#include <span>

namespace ql {
namespace cuda {

template <class E, std::size_t Rank>
using device_view = view<E, Rank, device_space>;

namespace detail {
// f(i) for every i < n on the device
template <class Context, class Function>
void for_each_element(Context& ctx, std::int64_t n, const Function& f) {
  ctx.template launch<element_body<Function>>({f, n});
}
inline grouped_rows plain_rows(std::int64_t stride) { return {stride, 0, 1}; }
template <class View>
void expects_like(const char* operation, const char* argument, const View& v, std::int64_t rows, std::int64_t columns) {
  ql::detail::expects_shape(operation, argument, {rows, columns}, v.extents());
  ql::detail::expects_adjacent(operation, argument, v);
}
}  // namespace detail
}  // namespace cuda

template <>
struct kernel<embed_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, std::span<const token> ids, const matrix<T>& w, cuda::device_view<float, 2> x) {
    cuda::detail::expects_like("embed", "x", x, static_cast<std::int64_t>(ids.size()), w.columns);
    ql::detail::expects_ids("embed", "token id", ids, w.rows, "");
    auto scope = ctx.scratch();
    cuda::detail::for_each_element(
        ctx, x.size(), cuda::embed_element<T>{scope.copy(ids), w.master, w.columns, x.data_handle(), x.stride(0)});
  }
};

template <>
struct kernel<gather_rows_op, cuda::backend> {
  template <cuda::any_context Context, class E>
  static void run(Context& ctx, const E* x, std::span<const token> rows, std::int64_t k, E* y) {
    auto scope = ctx.scratch();
    cuda::detail::for_each_element(ctx, static_cast<std::int64_t>(rows.size()) * k,
                                   cuda::gather_element<E>{x, scope.copy(rows), k, y});
  }
};

template <>
struct kernel<embed_dw_op, cuda::backend> {
  template <cuda::any_context Context>
  static void run(Context& ctx, std::span<const token> ids, cuda::device_view<const float, 2> dx,
                  cuda::device_view<float, 2> dw) {
    cuda::detail::expects_like("embed_dw", "dx", dx, static_cast<std::int64_t>(ids.size()), dw.extent(1));
    ql::detail::expects_adjacent("embed_dw", "dw", dw);
    ql::detail::expects_ids("embed_dw", "token id", ids, dw.extent(0), "");
    auto scope = ctx.scratch();
    cuda::detail::for_each_element(ctx, dw.extent(1),
                                   cuda::embed_dw_element{scope.copy(ids), dx.extent(0), dx.data_handle(), dx.stride(0),
                                                          dw.data_handle(), dw.stride(0)});
  }
};

template <>
struct kernel<rms_norm_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, cuda::device_view<const float, 2> x, const float* w, float eps,
                  cuda::device_view<T, 2> y, float* rstd) {
    cuda::detail::expects_like("rms_norm", "y", y, x.extent(0), x.extent(1));
    ql::detail::expects_adjacent("rms_norm", "x", x);
    ctx.template launch<cuda::rms_norm_body<T>>(
        {x.data_handle(), x.stride(0), w, eps, x.extent(0), x.extent(1), y.data_handle(), y.stride(0), rstd});
  }
};

template <>
struct kernel<rms_norm_dx_op, cuda::backend> {
  template <cuda::any_context Context>
  static void run(Context& ctx, cuda::device_view<const float, 2> dy, cuda::device_view<const float, 2> x,
                  const float* w, const float* rstd, cuda::device_view<float, 2> dx) {
    cuda::detail::expects_like("rms_norm_dx", "dy", dy, x.extent(0), x.extent(1));
    cuda::detail::expects_like("rms_norm_dx", "dx", dx, x.extent(0), x.extent(1));
    ql::detail::expects_adjacent("rms_norm_dx", "x", x);
    using cuda::detail::plain_rows;
    ctx.template launch<cuda::rms_norm_dx_body>({dy.data_handle(), plain_rows(dy.stride(0)), x.data_handle(),
                                                 plain_rows(x.stride(0)), w, rstd, plain_rows(1), x.extent(0),
                                                 x.extent(1), dx.data_handle(), plain_rows(dx.stride(0)), false});
  }
};

template <>
struct kernel<rms_norm_dw_op, cuda::backend> {
  template <cuda::any_context Context>
  static void run(Context& ctx, cuda::device_view<const float, 2> dy, cuda::device_view<const float, 2> x,
                  const float* rstd, float* dw) {
    cuda::detail::expects_like("rms_norm_dw", "dy", dy, x.extent(0), x.extent(1));
    ql::detail::expects_adjacent("rms_norm_dw", "x", x);
    using cuda::detail::plain_rows;
    cuda::detail::for_each_element(ctx, x.extent(1),
                                   cuda::column_element{dy.data_handle(), plain_rows(dy.stride(0)), x.data_handle(),
                                                        plain_rows(x.stride(0)), rstd, plain_rows(1), x.extent(0), dw});
  }
};

template <>
struct kernel<swiglu_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, cuda::device_view<const T, 2> gate, cuda::device_view<const T, 2> up,
                  cuda::device_view<T, 2> y) {
    cuda::detail::expects_like("swiglu", "up", up, gate.extent(0), gate.extent(1));
    cuda::detail::expects_like("swiglu", "y", y, gate.extent(0), gate.extent(1));
    ql::detail::expects_adjacent("swiglu", "gate", gate);
    cuda::detail::for_each_element(ctx, gate.size(),
                                   cuda::swiglu_element<T>{gate.data_handle(), gate.stride(0), up.data_handle(),
                                                           up.stride(0), gate.extent(1), y.data_handle(), y.stride(0)});
  }
};

template <>
struct kernel<swiglu_dx_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, cuda::device_view<const T, 2> gate, cuda::device_view<const T, 2> up,
                  cuda::device_view<const float, 2> dy, cuda::device_view<float, 2> dgate,
                  cuda::device_view<float, 2> dup) {
    const auto like = [&](const char* argument, const auto& v) {
      cuda::detail::expects_like("swiglu_dx", argument, v, gate.extent(0), gate.extent(1));
    };
    like("gate", gate);
    like("up", up);
    like("dy", dy);
    like("dgate", dgate);
    like("dup", dup);
    cuda::detail::for_each_element(
        ctx, gate.size(),
        cuda::swiglu_dx_element<T>{gate.data_handle(), gate.stride(0), up.data_handle(), up.stride(0), dy.data_handle(),
                                   dy.stride(0), gate.extent(1), dgate.data_handle(), dgate.stride(0),
                                   dup.data_handle(), dup.stride(0)});
  }
};

}  // namespace ql
