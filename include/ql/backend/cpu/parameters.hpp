// SPDX-License-Identifier: Apache-2.0
#pragma once

// Packing, updates and norms of weights.

#include <ql/backend/cpu/context.hpp>
#include <ql/backend/cpu/kernel_table.hpp>
#include <ql/backend/cpu/rows.hpp>
#include <ql/tensor/operations.hpp>

#include <algorithm>
#include <cstring>

namespace ql {
namespace cpu::detail {

// f(w offset, count) over pieces of 32 rows x some columns of a weight, each followed by its packing while it is near.
template <class T, class F>
void update_and_pack(context& ctx, const matrix<T>& w, T* packed, F&& f) {
  constexpr std::int64_t width = 256;
  if (packed == nullptr) {  // a vector, or a weight that is never a product's operand
    const auto n = w.rows * w.columns;
    for_rows(ctx, n, 1, [&](std::int64_t a, std::int64_t b) { f(a, b - a); });
    return;
  }
  const auto& k = kernels<T>();
  const auto panels = (w.rows + panel_columns - 1) / panel_columns;
  ctx.parallel_for(panels, [&](std::int64_t p) {
    const auto n0 = p * panel_columns, rows = std::min(panel_columns, w.rows - n0);
    T* panel = packed + p * panel_size<T>(w.columns);
    for (std::int64_t c = 0; c < w.columns; c += width) {
      const auto c1 = std::min(w.columns, c + width);
      for (auto n = n0; n < n0 + rows; ++n) f(n * w.columns + c, c1 - c);
      k.pack_weights(w.master + n0 * w.columns, w.columns, rows, c, c1, panel);
    }
    const auto pad = padded_k<T>(w.columns);
    for (auto c = round_up(w.columns, panel_pair<T>); c < pad; c += panel_pair<T>)
      std::memset(static_cast<void*>(panel + c * panel_columns), 0, sizeof(T) * panel_columns * panel_pair<T>);
  });
}

}  // namespace cpu::detail

template <>
struct kernel<packed_size_op, cpu::backend> {
  template <class T>
  static std::int64_t run(cpu::context&, T, std::int64_t rows, std::int64_t columns) {
    return cpu::packed_size<T>(rows, columns);
  }
};

template <>
struct kernel<pack_op, cpu::backend> {
  template <class T>
  static void run(cpu::context& ctx, const matrix<T>& w, T* packed) {
    cpu::detail::update_and_pack<T>(ctx, w, packed, [](std::int64_t, std::int64_t) {});
  }
};

template <>
struct kernel<adamw_step_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, const adamw_args& args, const matrix<T>& shape, A* w, const A* g, A* m, A* v,
                  T* packed) {
    cpu::detail::update_and_pack<T>(ctx, shape, packed, [&](std::int64_t i, std::int64_t n) {
      cpu::kernels<T>().adamw(w + i, g + i, m + i, v + i, n, args);
    });
  }
};

template <>
struct kernel<sgd_step_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, const sgd_args& args, const matrix<T>& shape, A* w, const A* g, A* momentum,
                  T* packed) {
    cpu::detail::update_and_pack<T>(ctx, shape, packed, [&](std::int64_t i, std::int64_t n) {
      cpu::kernels<T>().sgd(w + i, g + i, momentum == nullptr ? nullptr : momentum + i, n, args);
    });
  }
};

template <>
struct kernel<round_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, T, const A* x, std::int64_t n, A* y) {
    cpu::detail::for_rows(ctx, n, 1, [&](std::int64_t a, std::int64_t b) {
      T rounded[256];
      for (; a < b; a += 256) {
        const auto c = std::min<std::int64_t>(256, b - a);
        cpu::kernels<T>().round(x + a, c, rounded);
        cpu::kernels<T>().widen(rounded, c, y + a);
      }
    });
  }
};

template <>
struct kernel<fold_op, cpu::backend> {
  template <class A>
  static void run(cpu::context& ctx, const A* x, std::int64_t n, A* y) {
    cpu::detail::for_rows(ctx, n, 1,
                          [&](std::int64_t a, std::int64_t b) { cpu::kernels<A>().add(x + a, b - a, y + a); });
  }
};

template <>
struct kernel<clear_op, cpu::backend> {
  template <class A>
  static void run(cpu::context& ctx, A* x, std::int64_t n) {
    cpu::detail::for_rows(ctx, n, 1, [&](std::int64_t a, std::int64_t b) {
      std::memset(static_cast<void*>(x + a), 0, sizeof(A) * static_cast<std::size_t>(b - a));
    });
  }
};

template <>
struct kernel<sum_of_squares_op, cpu::backend> {
  template <class A>
  static double run(cpu::context& ctx, const A* g, std::int64_t n) {
    const auto blocks = (n + norm_block - 1) / norm_block;
    auto scope = ctx.scratch();
    double* part = scope.take<double>(blocks);
    ctx.parallel_for(blocks, [&](std::int64_t b) {
      part[b] = cpu::kernels<A>().sum_of_squares(g + b * norm_block, std::min(norm_block, n - b * norm_block));
    });
    double sum = 0;
    for (std::int64_t b = 0; b < blocks; ++b) sum += part[b];
    return sum;
  }
};

}  // namespace ql
