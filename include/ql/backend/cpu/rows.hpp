// SPDX-License-Identifier: Apache-2.0
#pragma once

// Operations row by row: embedding, norm, SwiGLU.

#include <ql/backend/cpu/context.hpp>
#include <ql/backend/cpu/kernel_table.hpp>
#include <ql/tensor/operations.hpp>

#include <algorithm>
#include <cstring>
#include <string>

namespace ql {
namespace cpu::detail {
// f(first, last) over pieces of [0, n), as many elements a piece as pay for a thread
template <class F>
void for_rows(context& ctx, std::int64_t n, std::int64_t cost, F&& f) {
  const auto piece = std::max<std::int64_t>(1, std::min<std::int64_t>(n, 32768 / std::max<std::int64_t>(1, cost)));
  ctx.parallel_for((n + piece - 1) / piece, [&](std::int64_t i) { f(i * piece, std::min(n, (i + 1) * piece)); });
}
using ql::detail::expects_ids;
}  // namespace cpu::detail

template <>
struct kernel<embed_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, std::span<const token> ids, const matrix<T>& w, view<A, 2> x) {
    ql::detail::expects_shape("embed", "x", {static_cast<std::int64_t>(ids.size()), w.columns}, x.extents());
    ql::detail::expects_adjacent("embed", "x", x);
    cpu::detail::expects_ids("embed", "token id", ids, w.rows, "");
    const auto& k = cpu::kernels<T>();
    cpu::detail::for_rows(ctx, x.extent(0), w.columns, [&](std::int64_t r0, std::int64_t r1) {
      T rounded[256];
      for (auto r = r0; r < r1; ++r) {
        const A* from = w.master + ids[static_cast<std::size_t>(r)] * w.columns;
        A* to = x.data_handle() + r * x.stride(0);
        for (std::int64_t c = 0; c < w.columns; c += 256) {
          const auto n = std::min<std::int64_t>(256, w.columns - c);
          k.round(from + c, n, rounded);
          k.widen(rounded, n, to + c);
        }
      }
    });
  }
};

template <>
struct kernel<gather_rows_op, cpu::backend> {
  template <class E>
  static void run(cpu::context& ctx, const E* x, std::span<const token> rows, std::int64_t k, E* y) {
    cpu::detail::for_rows(ctx, static_cast<std::int64_t>(rows.size()), k, [&](std::int64_t r0, std::int64_t r1) {
      for (auto r = r0; r < r1; ++r)
        std::memcpy(static_cast<void*>(y + r * k), x + rows[static_cast<std::size_t>(r)] * k,
                    sizeof(E) * static_cast<std::size_t>(k));
    });
  }
};

template <>
struct kernel<embed_dw_op, cpu::backend> {
  template <class A>
  static void run(cpu::context& ctx, std::span<const token> ids, view<const A, 2> dx, view<A, 2> dw) {
    ql::detail::expects_shape("embed_dw", "dx", {static_cast<std::int64_t>(ids.size()), dw.extent(1)}, dx.extents());
    ql::detail::expects_adjacent("embed_dw", "dx", dx);
    ql::detail::expects_adjacent("embed_dw", "dw", dw);
    cpu::detail::expects_ids("embed_dw", "token id", ids, dw.extent(0), "");
    // threads split columns: each row of dw gathers its tokens in order
    constexpr std::int64_t chunk = 128;
    const auto n = dw.extent(1);
    ctx.parallel_for((n + chunk - 1) / chunk, [&](std::int64_t c) {
      const auto j = c * chunk;
      for (std::size_t r = 0; r < ids.size(); ++r)
        cpu::kernels<A>().add(dx.data_handle() + static_cast<std::int64_t>(r) * dx.stride(0) + j,
                              std::min(chunk, n - j), dw.data_handle() + ids[r] * dw.stride(0) + j);
    });
  }
};

template <>
struct kernel<rms_norm_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, view<const A, 2> x, const A* w, A eps, view<T, 2> y, A* rstd) {
    ql::detail::expects_shape("rms_norm", "y", {x.extent(0), x.extent(1)}, y.extents());
    ql::detail::expects_adjacent("rms_norm", "x", x);
    ql::detail::expects_adjacent("rms_norm", "y", y);
    cpu::detail::for_rows(ctx, x.extent(0), x.extent(1), [&](std::int64_t r0, std::int64_t r1) {
      for (auto r = r0; r < r1; ++r)
        cpu::kernels<T>().rms_norm(x.data_handle() + r * x.stride(0), w, eps, x.extent(1),
                                   y.data_handle() + r * y.stride(0), nullptr, rstd == nullptr ? nullptr : rstd + r);
    });
  }
};

template <>
struct kernel<rms_norm_dx_op, cpu::backend> {
  template <class A>
  static void run(cpu::context& ctx, view<const A, 2> dy, view<const A, 2> x, const A* w, const A* rstd,
                  view<A, 2> dx) {
    ql::detail::expects_shape("rms_norm_dx", "dy", {x.extent(0), x.extent(1)}, dy.extents());
    ql::detail::expects_shape("rms_norm_dx", "dx", {x.extent(0), x.extent(1)}, dx.extents());
    ql::detail::expects_adjacent("rms_norm_dx", "dy", dy);
    ql::detail::expects_adjacent("rms_norm_dx", "x", x);
    ql::detail::expects_adjacent("rms_norm_dx", "dx", dx);
    cpu::detail::for_rows(ctx, x.extent(0), x.extent(1), [&](std::int64_t r0, std::int64_t r1) {
      for (auto r = r0; r < r1; ++r)
        cpu::kernels<A>().rms_norm_dx(dy.data_handle() + r * dy.stride(0), x.data_handle() + r * x.stride(0), w,
                                      rstd[r], x.extent(1), dx.data_handle() + r * dx.stride(0));
    });
  }
};

template <>
struct kernel<rms_norm_dw_op, cpu::backend> {
  template <class A>
  static void run(cpu::context& ctx, view<const A, 2> dy, view<const A, 2> x, const A* rstd, A* dw) {
    ql::detail::expects_shape("rms_norm_dw", "dy", {x.extent(0), x.extent(1)}, dy.extents());
    ql::detail::expects_adjacent("rms_norm_dw", "dy", dy);
    ql::detail::expects_adjacent("rms_norm_dw", "x", x);
    constexpr std::int64_t chunk = 64;
    const auto n = x.extent(1);
    ctx.parallel_for((n + chunk - 1) / chunk, [&](std::int64_t c) {
      cpu::kernels<A>().rms_norm_dw({dy.data_handle(), dy.stride(0), 0, 1, 1}, {x.data_handle(), x.stride(0), 0, 1, 1},
                                    rstd, x.extent(0), c * chunk, std::min(n, (c + 1) * chunk), dw);
    });
  }
};

template <>
struct kernel<swiglu_op, cpu::backend> {
  template <class T>
  static void run(cpu::context& ctx, view<const T, 2> gate, view<const T, 2> up, view<T, 2> y) {
    ql::detail::expects_shape("swiglu", "up", {gate.extent(0), gate.extent(1)}, up.extents());
    ql::detail::expects_shape("swiglu", "y", {gate.extent(0), gate.extent(1)}, y.extents());
    ql::detail::expects_adjacent("swiglu", "gate", gate);
    ql::detail::expects_adjacent("swiglu", "up", up);
    ql::detail::expects_adjacent("swiglu", "y", y);
    cpu::detail::for_rows(ctx, gate.extent(0), gate.extent(1), [&](std::int64_t r0, std::int64_t r1) {
      for (auto r = r0; r < r1; ++r)
        cpu::kernels<T>().swiglu(gate.data_handle() + r * gate.stride(0), up.data_handle() + r * up.stride(0),
                                 gate.extent(1), y.data_handle() + r * y.stride(0));
    });
  }
};

template <>
struct kernel<swiglu_dx_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, view<const T, 2> gate, view<const T, 2> up, view<const A, 2> dy, view<A, 2> dgate,
                  view<A, 2> dup) {
    const auto same_shape = [&](const char* argument, const auto& v) {
      ql::detail::expects_shape("swiglu_dx", argument, {gate.extent(0), gate.extent(1)}, v.extents());
      ql::detail::expects_adjacent("swiglu_dx", argument, v);
    };
    same_shape("gate", gate);
    same_shape("up", up);
    same_shape("dy", dy);
    same_shape("dgate", dgate);
    same_shape("dup", dup);
    cpu::detail::for_rows(ctx, gate.extent(0), gate.extent(1), [&](std::int64_t r0, std::int64_t r1) {
      for (auto r = r0; r < r1; ++r)
        cpu::kernels<T>().swiglu_dx(gate.data_handle() + r * gate.stride(0), up.data_handle() + r * up.stride(0),
                                    dy.data_handle() + r * dy.stride(0), gate.extent(1),
                                    dgate.data_handle() + r * dgate.stride(0), dup.data_handle() + r * dup.stride(0));
    });
  }
};

}  // namespace ql
