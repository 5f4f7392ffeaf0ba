// SPDX-License-Identifier: Apache-2.0
#pragma once

// The operations on plan::context: scratch as the CPU's kernels take it, and the work they would do. What each takes
// stands in ql/backend/cpu/; tests/backend/plan holds both together.

#include <ql/backend/cpu/linear.hpp>
#include <ql/backend/plan/context.hpp>
#include <ql/tensor/operations.hpp>

#include <algorithm>
#include <cstdint>

namespace ql {
namespace plan::detail {

template <class T>
void count_product(context& ctx, std::int64_t rows, const matrix<T>& w) {
  const auto n = static_cast<double>(w.rows) * static_cast<double>(w.columns);
  ctx.work().products += 2 * static_cast<double>(rows) * n;
  ctx.work().weights += n;
}

// cpu::detail::multiply
template <class T>
void forward_product(context& ctx, std::int64_t rows, const matrix<T>& w) {
  if (rows == 0 || w.rows == 0) return;
  count_product(ctx, rows, w);
  const auto& k = cpu::kernels<T>();
  if (rows <= 64) {
    auto scope = ctx.scratch();
    scope.template take<char>(k.packed_rows_bytes(rows, w.columns));
  } else {
    auto scope = ctx.scratch(0);
    const auto n = std::min(rows, cpu::detail::row_block<T>(rows, w.columns, ctx.threads()));
    scope.template take<char>(k.packed_rows_bytes(n, w.columns));
  }
}

template <class T>
void dx_scratch(context& ctx, std::int64_t rows, const matrix<T>& w) {
  const auto panels = cpu::detail::panels_of<T>(w.columns);
  const auto group = std::max<std::int64_t>(1, std::min<std::int64_t>(4, panels / ctx.threads()));
  auto scope = ctx.scratch();
  scope.template take<char>((rows + 23) / 24 * cpu::kernels<T>().packed_rows_bytes(24, w.rows));
  auto local = ctx.scratch(0);
  local.template take<T>(std::min(group, panels) * cpu::panel_size<T>(w.rows));
}
template <class T>
void dx_product(context& ctx, std::int64_t rows, const matrix<T>& w) {
  if (rows == 0) return;
  count_product(ctx, rows, w);
  dx_scratch(ctx, rows, w);
}

template <class T>
void dw_scratch(context& ctx, std::int64_t rows, std::int64_t n, std::int64_t depth) {
  auto scope = ctx.scratch();
  scope.template take<T>(cpu::detail::panels_of<T>(depth) * cpu::panel_size<T>(rows));
  auto local = ctx.scratch(0);
  const auto count = std::min(n, cpu::detail::row_block<T>(n, rows, ctx.threads()));
  local.template take<char>(cpu::kernels<T>().packed_rows_bytes(count, rows));
}
template <class T>
void dw_product(context& ctx, std::int64_t rows, std::int64_t n, std::int64_t depth) {
  if (rows == 0) return;
  ctx.work().products += 2 * static_cast<double>(rows) * static_cast<double>(n) * static_cast<double>(depth);
  dw_scratch<T>(ctx, rows, n, depth);
}

// (query, key) pairs of the rows, all heads; and the most rows of a run. Rows of one path are a segment's consecutive
// tokens: the token at position p sees p + 1 keys.
struct seen_keys {
  double pairs = 0;
  std::int64_t widest = 0;
};
inline seen_keys keys_of(context& ctx, const row_places& p, std::int64_t heads) {
  seen_keys s;
  std::int64_t pairs = 0;
  for (const auto& run : p.runs) {
    const auto last = run.first + run.rows - 1;
    if (p.path[run.first] == p.path[last]) {
      pairs += run.rows * (p.position[run.first] + p.position[last] + 2) / 2;
    } else {
      for (auto i = run.first; i <= last; ++i) pairs += p.position[i] + 1;
    }
    s.widest = std::max<std::int64_t>(s.widest, run.rows);
  }
  s.pairs = static_cast<double>(heads) * static_cast<double>(pairs);
  ctx.look(static_cast<std::int64_t>(p.runs.size()));
  return s;
}

struct nothing {
  template <class... X>
  static void run(context&, const X&...) {}
};

}  // namespace plan::detail

template <>
struct kernel<linear_op, plan::backend> {
  template <class X, class T, class B, class Y>
  static void run(plan::context& ctx, const X& x, const matrix<T>& w, const B&, const Y&) {
    plan::detail::forward_product(ctx, x.extent(0), w);
  }
};
template <>
struct kernel<linear_sum_op, plan::backend> : kernel<linear_op, plan::backend> {};
template <>
struct kernel<linear_add_op, plan::backend> {
  template <class X, class T, class Y>
  static void run(plan::context& ctx, const X& x, const matrix<T>& w, const Y&) {
    plan::detail::forward_product(ctx, x.extent(0), w);
  }
};
template <>
struct kernel<linear_dx_op, plan::backend> {
  template <class D, class T, class X>
  static void run(plan::context& ctx, const D& dy, const matrix<T>& w, const X&, bool) {
    plan::detail::dx_product(ctx, dy.extent(0), w);
  }
};
template <>
struct kernel<linear_dw_op, plan::backend> {
  template <class D, class X, class W>
  static void run(plan::context& ctx, const D& dy, const X& x, const W& dw) {
    plan::detail::dw_product<std::remove_cv_t<typename X::value_type>>(ctx, dy.extent(0), dw.extent(0), dw.extent(1));
    static_cast<void>(x);
  }
};

template <>
struct kernel<column_sum_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<embed_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<embed_dw_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<rms_norm_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<rms_norm_dx_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<rms_norm_dw_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<swiglu_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<swiglu_dx_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<gather_rows_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<copy_keys_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<return_keys_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<pack_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<round_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<fold_op, plan::backend> : plan::detail::nothing {};
template <>
struct kernel<clear_op, plan::backend> : plan::detail::nothing {};

template <>
struct kernel<rotary_op, plan::backend> {
  template <class T>
  static void run(plan::context& ctx, const rotary_args<T>& a) {
    auto scope = ctx.scratch(0);
    scope.template take<accumulate_t<T>>((a.shape.heads + a.shape.kv_heads) * a.shape.head_dim);
    scope.template take<T>(a.shape.kv_heads * a.shape.head_dim);
  }
};

template <>
struct kernel<attention_op, plan::backend> {
  template <class T>
  static void run(plan::context& ctx, const attention_args<T>& a) {
    using A = accumulate_t<T>;
    const auto& s = a.shape;
    const auto seen = plan::detail::keys_of(ctx, a.places, s.heads);
    ctx.work().attention += 4 * seen.pairs * static_cast<double>(s.head_dim);
    const auto& k = cpu::kernels<T>();
    const auto rows = seen.widest * s.group();
    auto scope = ctx.scratch(0);
    scope.template take<char>(k.packed_rows_bytes(rows, s.head_dim));
    scope.template take<char>(k.packed_rows_bytes(rows, key_block));
    scope.template take<A>(rows * key_block);
    for (int i = 0; i < 3; ++i) scope.template take<A>(rows);
    scope.template take<std::int32_t>(rows);
    scope.template take<A>(rows * s.padded_dim());
  }
};

template <>
struct kernel<attention_dx_op, plan::backend> {
  template <class T>
  static void run(plan::context& ctx, const attention_dx_args<T>& g) {
    using A = accumulate_t<T>;
    const auto& s = g.forward.shape;
    const auto seen = plan::detail::keys_of(ctx, g.forward.places, s.heads);
    ctx.work().attention += 10 * seen.pairs * static_cast<double>(s.head_dim);
    auto whole = ctx.scratch();
    whole.template take<A>(g.forward.places.rows * s.heads);
    const auto rows = seen.widest * s.group();
    auto scope = ctx.scratch(0);
    scope.template take<T>(key_block * s.padded_dim());
    scope.template take<T>(cpu::padded_k<T>(s.head_dim) * key_block);
    scope.template take<char>(
        cpu::kernels<T>().packed_rows_bytes(std::max(rows, key_block), std::max({rows, s.head_dim, key_block})));
    for (int i = 0; i < 2; ++i) scope.template take<A>(rows * key_block);
    for (int i = 0; i < 2; ++i) scope.template take<A>(rows);
    scope.template take<std::int32_t>(rows);
    scope.template take<T>(cpu::padded_k<T>(rows) * panel_columns);
  }
};

template <>
struct kernel<rotary_dx_op, plan::backend> {
  template <class T>
  static void run(plan::context& ctx, const rotary_dx_args<T>& g) {
    using A = accumulate_t<T>;
    const auto& s = g.forward.shape;
    if (g.forward.q_norm == nullptr) return;
    auto scope = ctx.scratch(0);
    if (g.dq_norm != nullptr)
      scope.template take<A>(g.forward.places.rows * s.heads);
    else if (g.dk_norm != nullptr)
      scope.template take<A>(g.forward.places.rows * s.kv_heads);
  }
};

template <>
struct kernel<vocabulary_op, plan::backend> {
  template <class Args>
  static void run(plan::context& ctx, const Args& a) {
    using T = std::remove_cvref_t<decltype(*a.head.packed)>;
    using A = accumulate_t<T>;
    const auto rows = a.hidden.extent(0);
    if (rows == 0) return;
    plan::detail::count_product(ctx, rows, a.head);
    const auto block = std::min<std::int64_t>(96, round_up((rows + ctx.threads() - 1) / ctx.threads(), 12));
    const auto n = std::min(block, rows);
    auto scope = ctx.scratch(0);
    scope.template take<char>(cpu::kernels<T>().packed_rows_bytes(n, a.head.columns));
    scope.template take<A>(n * vocab_block);
    for (int i = 0; i < 2; ++i) scope.template take<A>(3 * n);
  }
};

template <>
struct kernel<vocabulary_dx_op, plan::backend> {
  template <class Args>
  static void run(plan::context& ctx, const Args& g) {
    const auto& a = g.forward;
    using T = std::remove_cvref_t<decltype(*a.head.packed)>;
    using A = accumulate_t<T>;
    const auto rows = a.hidden.extent(0), depth = a.head.columns;
    if (rows == 0) return;
    constexpr std::int64_t rows_at_once = 1024;
    plan::detail::count_product(ctx, rows, a.head);
    const auto whole = static_cast<double>(a.head.rows) * static_cast<double>(depth);
    const auto products = (g.dhidden != nullptr ? 1 : 0) + (g.dhead != nullptr ? 1 : 0);
    ctx.work().products += 2 * products * static_cast<double>(rows) * whole;
    if (g.dhidden != nullptr)
      ctx.work().weights += static_cast<double>((rows + rows_at_once - 1) / rows_at_once) * whole;
    // all blocks of rows are alike but the last, and so are those of the vocabulary
    for (const auto c0 : {std::int64_t{0}, (rows - 1) / rows_at_once * rows_at_once}) {
      const auto n = std::min(rows_at_once, rows - c0);
      auto scope = ctx.scratch();
      scope.template take<char>((n + 23) / 24 * cpu::kernels<T>().packed_rows_bytes(24, depth));
      scope.template take<A>(n * vocab_block);
      matrix<T> part = a.head;
      for (const auto v : {std::int64_t{0}, (a.head.rows - 1) / vocab_block * vocab_block}) {
        part.rows = std::min(vocab_block, a.head.rows - v);
        if (g.dhidden != nullptr) plan::detail::dx_scratch(ctx, n, part);
        if (g.dhead != nullptr) plan::detail::dw_scratch<T>(ctx, n, part.rows, depth);
      }
    }
  }
};

template <>
struct kernel<logits_op, plan::backend> {
  template <class T, class X, class... Rest>
  static void run(plan::context& ctx, const matrix<T>& head, const X& hidden, const Rest&...) {
    plan::detail::forward_product(ctx, hidden.extent(0), head);
  }
};
template <>
struct kernel<log_sum_exp_op, plan::backend> {
  template <class A, class T>
  static logit_row<A> run(plan::context&, std::span<A>, T) {
    return {};
  }
};

template <>
struct kernel<packed_size_op, plan::backend> {
  template <class T>
  static std::int64_t run(plan::context&, T, std::int64_t rows, std::int64_t columns) {
    return cpu::packed_size<T>(rows, columns);
  }
};
template <>
struct kernel<sum_of_squares_op, plan::backend> {
  template <class A>
  static double run(plan::context& ctx, const A*, std::int64_t n) {
    auto scope = ctx.scratch();
    scope.template take<double>((n + norm_block - 1) / norm_block);
    return 0;
  }
};
template <>
struct kernel<adamw_step_op, plan::backend> {
  template <class Args, class T, class... Rest>
  static void run(plan::context& ctx, const Args&, const matrix<T>& w, const Rest&...) {
    ctx.work().updated += static_cast<double>(w.rows) * static_cast<double>(w.columns);
  }
};
template <>
struct kernel<sgd_step_op, plan::backend> : kernel<adamw_step_op, plan::backend> {};

}  // namespace ql
