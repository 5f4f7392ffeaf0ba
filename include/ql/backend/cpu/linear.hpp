// SPDX-License-Identifier: Apache-2.0
#pragma once

// Products. Threads split rows or columns, never the sum; panels and tiles only decide which memory is near.

#include <ql/backend/cpu/context.hpp>
#include <ql/backend/cpu/kernel_table.hpp>
#include <ql/tensor/operations.hpp>

#include <algorithm>

namespace ql {
namespace cpu::detail {

inline constexpr std::int64_t near_bytes = 384 << 10;  // of packed rows, so that they stay in the second-level cache

template <class T>
std::int64_t panels_of(std::int64_t n) {
  return (n + panel_columns - 1) / panel_columns;
}

// Rows a thread packs and takes through all panels: a multiple of 12 (every tile height but one divides it).
template <class T>
std::int64_t row_block(std::int64_t rows, std::int64_t k, int threads) {
  const auto bytes = std::max<std::int64_t>(1, padded_k<T>(k) * static_cast<std::int64_t>(sizeof(accumulate_t<T>)));
  const auto most = std::max<std::int64_t>(24, near_bytes / bytes / 24 * 24);
  const auto share = round_up((rows + threads - 1) / threads, 24);
  return std::min(most, share);
}

// y (op) x W^T: the shape of every forward product. `set` fills in the epilogue for rows [r, ...) and columns [n, ...).
template <class T, class Set>
void multiply(context& ctx, view<const T, 2> x, const matrix<T>& w, Set&& set) {
  const auto& k = kernels<T>();
  const std::int64_t rows = x.extent(0), depth = w.columns, panels = panels_of<T>(w.rows);
  if (rows == 0 || w.rows == 0) return;
  const row_set<T> src{x.data_handle(), x.stride(0), 0, 1, 1};
  auto one_panel = [&](const void* a, std::int64_t r, std::int64_t n_rows, std::int64_t p) {
    product_args<T> q;
    q.a = a;
    q.rows = n_rows;
    q.k = depth;
    q.panel = w.packed + p * panel_size<T>(depth);
    q.columns = std::min(panel_columns, w.rows - p * panel_columns);
    set(q, r, p * panel_columns);
    k.product(q);
  };
  if (rows <= 64) {  // decode: the weights stream past once
    auto scope = ctx.scratch();
    auto* a = scope.take<char>(k.packed_rows_bytes(rows, depth));
    ctx.parallel_for(1, [&](std::int64_t) { k.pack_rows(src, rows, depth, a); });
    const auto chunk = std::max<std::int64_t>(
        1, std::min(panels / ctx.threads(), (1 << 18) / std::max<std::int64_t>(1, panel_size<T>(depth))));
    ctx.parallel_for((panels + chunk - 1) / chunk, [&](std::int64_t c) {
      for (auto p = c * chunk; p < std::min(panels, (c + 1) * chunk); ++p) one_panel(a, 0, rows, p);
    });
    return;
  }
  const auto block = row_block<T>(rows, depth, ctx.threads());
  ctx.parallel_for((rows + block - 1) / block, [&](std::int64_t b, int thread) {
    auto scope = ctx.scratch(thread);
    const auto r = b * block, n = std::min(block, rows - r);
    auto* a = scope.take<char>(k.packed_rows_bytes(n, depth));
    k.pack_rows({src.row(r), src.outer, 0, 1, 1}, n, depth, a);
    for (std::int64_t p = 0; p < panels; ++p) one_panel(a, r, n, p);
  });
}

template <class T, class Y>
void check_linear(std::string_view op, view<const T, 2> x, const matrix<T>& w, const Y& y) {
  ql::detail::expects_shape(op, "x", {x.extent(0), w.columns}, x.extents());
  ql::detail::expects_adjacent(op, "x", x);
  ql::detail::expects_shape(op, "y", {x.extent(0), w.rows}, y.extents());
  ql::detail::expects_adjacent(op, "y", y);
  ql::detail::expects<state_error>(w.packed != nullptr, op, "weight", "packed (published) weights", "none");
}

}  // namespace cpu::detail

template <>
struct kernel<linear_op, cpu::backend> {
  template <class T>
  static void run(cpu::context& ctx, view<const T, 2> x, const matrix<T>& w, const accumulate_t<T>* bias,
                  view<T, 2> y) {
    cpu::detail::check_linear("linear", x, w, y);
    cpu::detail::multiply(ctx, x, w, [&](cpu::product_args<T>& q, std::int64_t r, std::int64_t n) {
      q.what = cpu::epilogue::round;
      q.t = y.data_handle() + r * y.stride(0) + n;
      q.ldt = y.stride(0);
      q.bias = bias == nullptr ? nullptr : bias + n;
    });
  }
};

template <>
struct kernel<linear_sum_op, cpu::backend> {
  template <class T>
  static void run(cpu::context& ctx, view<const T, 2> x, const matrix<T>& w, const accumulate_t<T>* bias,
                  view<accumulate_t<T>, 2> y) {
    cpu::detail::check_linear("linear_sum", x, w, y);
    cpu::detail::multiply(ctx, x, w, [&](cpu::product_args<T>& q, std::int64_t r, std::int64_t n) {
      q.what = cpu::epilogue::store;
      q.c = y.data_handle() + r * y.stride(0) + n;
      q.ldc = y.stride(0);
      q.bias = bias == nullptr ? nullptr : bias + n;
    });
  }
};

template <>
struct kernel<linear_add_op, cpu::backend> {
  template <class T>
  static void run(cpu::context& ctx, view<const T, 2> x, const matrix<T>& w, view<accumulate_t<T>, 2> y) {
    cpu::detail::check_linear("linear_add", x, w, y);
    cpu::detail::multiply(ctx, x, w, [&](cpu::product_args<T>& q, std::int64_t r, std::int64_t n) {
      q.what = cpu::epilogue::add;
      q.c = y.data_handle() + r * y.stride(0) + n;
      q.ldc = y.stride(0);
    });
  }
};

template <>
struct kernel<linear_dx_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, view<const A, 2> dy, const matrix<T>& w, view<A, 2> dx, bool add) {
    ql::detail::expects_shape("linear_dx", "dy", {dx.extent(0), w.rows}, dy.extents());
    ql::detail::expects_shape("linear_dx", "dx", {dy.extent(0), w.columns}, dx.extents());
    ql::detail::expects_adjacent("linear_dx", "dy", dy);
    ql::detail::expects_adjacent("linear_dx", "dx", dx);
    ql::detail::expects<state_error>(w.master != nullptr, "linear_dx", "weight", "master weights", "none");
    const auto& k = cpu::kernels<T>();
    const std::int64_t rows = dy.extent(0), depth = w.rows, panels = cpu::detail::panels_of<T>(w.columns);
    if (rows == 0) return;
    auto scope = ctx.scratch();
    // all rows packed once, in blocks of 24
    constexpr std::int64_t piece = 24;
    const auto piece_bytes = k.packed_rows_bytes(piece, depth);
    auto* a = scope.take<char>((rows + piece - 1) / piece * piece_bytes);
    ctx.parallel_for((rows + piece - 1) / piece, [&](std::int64_t b) {
      k.pack_rows_rounded({dy.data_handle() + b * piece * dy.stride(0), dy.stride(0), 0, 1, 1},
                          std::min(piece, rows - b * piece), depth, a + b * piece_bytes);
    });
    // some columns of W at a time, read as they lie: panel row n is a piece of W's row n
    const std::int64_t group = std::max<std::int64_t>(1, std::min<std::int64_t>(4, panels / ctx.threads()));
    const auto block =
        std::max<std::int64_t>(piece, cpu::detail::near_bytes / std::max<std::int64_t>(1, piece_bytes) * piece);
    ctx.parallel_for((panels + group - 1) / group, [&](std::int64_t g, int thread) {
      auto local = ctx.scratch(thread);
      const auto p0 = g * group, p1 = std::min(panels, p0 + group);
      T* packed = local.take<T>((p1 - p0) * cpu::panel_size<T>(depth));
      for (auto p = p0; p < p1; ++p)
        k.pack_panel_rounded({w.master + p * panel_columns, w.columns, 0, 1, 1}, depth,
                             std::min(panel_columns, w.columns - p * panel_columns),
                             packed + (p - p0) * cpu::panel_size<T>(depth), panel_columns * cpu::panel_pair<T>);
      for (std::int64_t r = 0; r < rows; r += block)
        for (auto p = p0; p < p1; ++p) {
          cpu::product_args<T> q;
          q.a = a + r / piece * piece_bytes;
          q.rows = std::min(block, rows - r);
          q.k = depth;
          q.panel = packed + (p - p0) * cpu::panel_size<T>(depth);
          q.columns = std::min(panel_columns, w.columns - p * panel_columns);
          q.what = add ? cpu::epilogue::add : cpu::epilogue::store;
          q.c = dx.data_handle() + r * dx.stride(0) + p * panel_columns;
          q.ldc = dx.stride(0);
          k.product(q);
        }
    });
  }
};

template <>
struct kernel<linear_dw_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, view<const A, 2> dy, view<const T, 2> x, view<A, 2> dw) {
    const std::int64_t rows = dy.extent(0), n = dw.extent(0), depth = dw.extent(1);
    ql::detail::expects_shape("linear_dw", "dy", {x.extent(0), n}, dy.extents());
    ql::detail::expects_shape("linear_dw", "x", {rows, depth}, x.extents());
    ql::detail::expects_adjacent("linear_dw", "dy", dy);
    ql::detail::expects_adjacent("linear_dw", "x", x);
    ql::detail::expects_adjacent("linear_dw", "dw", dw);
    if (rows == 0) return;
    const auto& k = cpu::kernels<T>();
    const auto panels = cpu::detail::panels_of<T>(depth);
    auto scope = ctx.scratch();
    T* packed = scope.take<T>(panels * cpu::panel_size<T>(rows));
    ctx.parallel_for(panels, [&](std::int64_t p) {
      k.pack_panel({x.data_handle() + p * panel_columns, x.stride(0), 0, 1, 1}, rows,
                   std::min(panel_columns, depth - p * panel_columns), packed + p * cpu::panel_size<T>(rows),
                   panel_columns * cpu::panel_pair<T>);
    });
    const auto block = cpu::detail::row_block<T>(n, rows, ctx.threads());
    ctx.parallel_for((n + block - 1) / block, [&](std::int64_t b, int thread) {
      auto local = ctx.scratch(thread);
      const auto n0 = b * block, count = std::min(block, n - n0);
      auto* a = local.take<char>(k.packed_rows_bytes(count, rows));
      k.pack_rows_rounded({dy.data_handle() + n0, 1, 0, 1, dy.stride(0)}, count, rows, a);
      for (std::int64_t p = 0; p < panels; ++p) {
        cpu::product_args<T> q;
        q.a = a;
        q.rows = count;
        q.k = rows;
        q.panel = packed + p * cpu::panel_size<T>(rows);
        q.columns = std::min(panel_columns, depth - p * panel_columns);
        q.what = cpu::epilogue::chain;
        q.c = dw.data_handle() + n0 * dw.stride(0) + p * panel_columns;
        q.ldc = dw.stride(0);
        k.product(q);
      }
    });
  }
};

template <>
struct kernel<column_sum_op, cpu::backend> {
  template <class A>
  static void run(cpu::context& ctx, view<const A, 2> dy, view<A, 1> db) {
    ql::detail::expects_shape("column_sum", "db", {dy.extent(1)}, db.extents());
    ql::detail::expects_adjacent("column_sum", "dy", dy);
    ql::detail::expects_dense("column_sum", "db", db);
    constexpr std::int64_t chunk = 64;
    ctx.parallel_for((db.extent(0) + chunk - 1) / chunk, [&](std::int64_t c) {
      cpu::kernels<A>().column_sum({dy.data_handle(), dy.stride(0), 0, 1, 1}, dy.extent(0), c * chunk,
                                   std::min(db.extent(0), (c + 1) * chunk), db.data_handle());
    });
  }
};

}  // namespace ql
