// SPDX-License-Identifier: Apache-2.0
#pragma once

// Linear + log-softmax + gather + entropy, and its backward. Logits exist for logit_rows x logit_columns at a time.

#include <ql/backend/cuda/body/draws.hpp>
#include <ql/backend/cuda/body/vocabulary.hpp>
#include <ql/backend/cuda/linear.hpp>
#include <ql/tensor/distribution.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace ql {
namespace cuda::detail {

inline void expects_rows(const char* op, const char* argument, std::size_t rows, std::size_t got) {
  if (got != rows) [[unlikely]]
    ql::detail::fail<shape_error>(op, argument, std::to_string(rows) + " values, one a row", std::to_string(got));
}
template <class T>
void check_vocabulary(const char* op, const vocabulary_args<T, device_space>& a) {
  const auto rows = a.targets.size();
  expects_like(op, "hidden", a.hidden, static_cast<std::int64_t>(rows), a.head.columns);
  ql::detail::expects<state_error>(a.head.packed != nullptr, op, "head", "packed (published) weights", "none");
  expects_rows(op, "logp", rows, a.logp.size());
  expects_rows(op, "entropy", rows, a.entropy.size());
  expects_rows(op, "lse", rows, a.lse.size());
  ql::detail::expects_ids(op, "target", a.targets, a.head.rows, " (the vocabulary)");
  if (a.support_first.empty()) return;
  ql::detail::expects<shape_error>(a.support_first.size() == rows + 1, op, "support_first",
                                   std::to_string(rows + 1) + " values, one more than rows", a.support_first.size());
  std::int64_t before = 0;
  for (auto at : a.support_first) {
    ql::detail::expects(at >= before && at <= static_cast<std::int64_t>(a.support.size()), op, "support_first",
                        "ascending positions in support", at);
    before = at;
  }
  ql::detail::expects_ids(op, "support", a.support, a.head.rows, " (the vocabulary)");
}

// Some rows of a vocabulary operation on the device: targets and supports.
struct staged_rows {
  std::int64_t first = 0, rows = 0, entries = 0;
  const std::int32_t* targets = nullptr;
  const std::int64_t* support_first = nullptr;  // counted from the first of these rows; null: no supports
  const std::int32_t* support = nullptr;
  const std::int32_t* support_rows = nullptr;

  template <class Scope, class T>
  staged_rows(Scope& scope, const vocabulary_args<T, device_space>& a, std::int64_t r0, std::int64_t n)
      : first(r0), rows(n) {
    const auto at = static_cast<std::size_t>(r0), count = static_cast<std::size_t>(n);
    targets = scope.copy(a.targets.subspan(at, count));
    if (a.support_first.empty()) return;
    const auto from = a.support_first[at];
    entries = a.support_first[at + count] - from;
    std::vector<std::int64_t> begin;
    std::vector<std::int32_t> row;
    for (std::size_t i = 0; i <= count; ++i) begin.push_back(a.support_first[at + i] - from);
    for (std::size_t i = 0; i < count; ++i)
      row.insert(row.end(), static_cast<std::size_t>(begin[i + 1] - begin[i]), static_cast<std::int32_t>(i));
    support_first = scope.copy(std::span<const std::int64_t>(begin));
    support = scope.copy(a.support.subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(entries)));
    support_rows = scope.copy(std::span<const std::int32_t>(row));
  }
};

// z[rows, columns of the vocabulary from v] of hidden rows
template <class T, class Context>
void some_logits(Context& ctx, const matrix<T>& head, device_view<const T, 2> hidden, std::int64_t v,
                 std::int64_t columns, float* z, std::int64_t ldz) {
  matrix<T> part = head;
  part.rows = columns;
  part.packed += v * head.columns;
  linear_sum(ctx, hidden, part, static_cast<const float*>(nullptr),
             device_view<float, 2>(z, {hidden.extent(0), columns}, {ldz, 1}));
}

}  // namespace cuda::detail

template <>
struct kernel<vocabulary_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, const vocabulary_args<T, cuda::device_space>& a) {
    cuda::detail::check_vocabulary("vocabulary", a);
    const auto rows = a.hidden.extent(0);
    for (std::int64_t r0 = 0; r0 < rows; r0 += cuda::logit_rows) {
      const auto n = std::min(cuda::logit_rows, rows - r0);
      auto scope = ctx.scratch();
      const cuda::detail::staged_rows staged(scope, a, r0, n);
      const auto width = std::min(cuda::logit_columns, a.head.rows);
      float* z = scope.template take<float>(n * width);
      float* logp = scope.template take<float>(n);
      auto* state = scope.template take<logit_row<float>>(n);
      cuda::detail::for_each_element(ctx, n, cuda::start_row_element{state});
      float* kept_logits = nullptr;
      logit_row<float>* kept = nullptr;
      if (staged.entries > 0) {
        kept_logits = scope.template take<float>(staged.entries);
        kept = scope.template take<logit_row<float>>(n);
        cuda::detail::for_each_element(ctx, n, cuda::start_row_element{kept});
      }
      for (std::int64_t v = 0; v < a.head.rows; v += width) {
        const auto columns = std::min(width, a.head.rows - v);
        cuda::detail::some_logits(ctx, a.head, a.hidden.rows(r0, n), v, columns, z, width);
        ctx.template launch<cuda::log_sum_exp_body>(
            {z, width, n, columns, nullptr, vocab_block, a.inverse_temperature, false, state});
        cuda::detail::for_each_element(
            ctx, n, cuda::pick_target_element{z, width, v, columns, a.inverse_temperature, staged.targets, logp});
        cuda::detail::for_each_element(ctx, staged.entries,
                                       cuda::pick_support_element{z, width, v, columns, a.inverse_temperature,
                                                                  staged.support, staged.support_rows, kept_logits});
      }
      if (kept != nullptr)
        ctx.template launch<cuda::log_sum_exp_body>({kept_logits, 0, n, 0, staged.support_first, 0, 1.0f, false, kept});
      cuda::detail::for_each_element(ctx, n, cuda::finish_rows_element{state, kept, staged.support_first, logp});
      std::vector<logit_row<float>> host(static_cast<std::size_t>(n));
      ctx.copy_out(state, n, host.data());
      ctx.copy_out(logp, n, a.logp.data() + r0);
      for (std::size_t i = 0; i < host.size(); ++i) {
        a.lse[static_cast<std::size_t>(r0) + i] = host[i].lse;
        a.entropy[static_cast<std::size_t>(r0) + i] = host[i].entropy;
      }
    }
  }
};

template <>
struct kernel<vocabulary_dx_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, const vocabulary_dx_args<T, cuda::device_space>& g) {
    const auto& a = g.forward;
    cuda::detail::check_vocabulary("vocabulary_dx", a);
    cuda::detail::expects_rows("vocabulary_dx", "dlogp", a.targets.size(), g.dlogp.size());
    if (!g.dentropy.empty())
      cuda::detail::expects_rows("vocabulary_dx", "dentropy", a.targets.size(), g.dentropy.size());
    const auto rows = a.hidden.extent(0), depth = a.head.columns;
    for (std::int64_t r0 = 0; r0 < rows; r0 += cuda::logit_rows) {
      const auto n = std::min(cuda::logit_rows, rows - r0);
      const auto at = static_cast<std::size_t>(r0), count = static_cast<std::size_t>(n);
      auto scope = ctx.scratch();
      const cuda::detail::staged_rows staged(scope, a, r0, n);
      const auto width = std::min(cuda::logit_columns, a.head.rows);
      float* z = scope.template take<float>(n * width);
      float* kept = scope.template take<float>(staged.entries);
      const auto copy = [&](auto values) { return scope.copy(std::span<const float>(values.data() + at, count)); };
      const cuda::logit_gradient gradient{a.inverse_temperature, copy(a.lse), copy(a.entropy), copy(g.dlogp),
                                          g.dentropy.empty() ? nullptr : copy(g.dentropy)};
      for (std::int64_t v = 0; v < a.head.rows; v += width) {
        const auto columns = std::min(width, a.head.rows - v);
        cuda::detail::some_logits(ctx, a.head, a.hidden.rows(r0, n), v, columns, z, width);
        const auto support = [&](bool back) {
          cuda::detail::for_each_element(
              ctx, staged.entries,
              cuda::support_dx_element{z, width, v, columns, staged.support, staged.support_rows, staged.targets, kept,
                                       back, gradient});
        };
        support(false);
        cuda::detail::for_each_element(
            ctx, n * columns,
            cuda::logits_dx_element{z, width, v, columns, staged.targets, staged.support_first, gradient});
        support(true);
        const cuda::device_view<const float, 2> dz(z, {n, columns}, {width, 1});
        matrix<T> part = a.head;
        part.rows = columns;
        part.packed += v * depth;
        if (g.dhidden != nullptr)
          linear_dx(ctx, dz, part, cuda::device_view<float, 2>(g.dhidden + r0 * depth, {n, depth}), true);
        if (g.dhead != nullptr)
          linear_dw(ctx, dz, a.hidden.rows(r0, n), cuda::device_view<float, 2>(g.dhead + v * depth, {columns, depth}));
      }
    }
  }
};

template <>
struct kernel<logits_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, const matrix<T>& head, cuda::device_view<const T, 2> hidden, float inverse_temperature,
                  cuda::device_view<float, 2> z, std::span<logit_row<float>> out, cuda::device_view<float, 2> partial) {
    const auto rows = z.extent(0), columns = z.extent(1), pieces = (columns + 15) / 16;
    cuda::detail::expects_rows("logits", "rows", static_cast<std::size_t>(rows), out.size());
    ql::detail::expects_shape("logits", "partial", {rows, pieces}, partial.extents());
    linear_sum(ctx, hidden, head, static_cast<const float*>(nullptr), z);
    auto scope = ctx.scratch();
    auto* state = scope.template take<logit_row<float>>(rows);
    cuda::detail::for_each_element(ctx, rows, cuda::start_row_element{state});
    ctx.template launch<cuda::log_sum_exp_body>(
        {z.data_handle(), z.stride(0), rows, columns, nullptr, vocab_block, inverse_temperature, true, state});
    cuda::detail::for_each_element(ctx, rows, cuda::finish_rows_element{state, nullptr, nullptr, nullptr});
    cuda::detail::for_each_element(ctx, rows * pieces,
                                   cuda::exp_sums_element{z.data_handle(), z.stride(0), columns, pieces, state,
                                                          partial.data_handle(), partial.stride(0)});
    ctx.copy_out(state, rows, out.data());
  }
};

template <>
struct kernel<draw_op, cuda::backend> {
  template <cuda::any_context Context>
  static void run(Context& ctx, const distribution& d, cuda::device_view<const float, 2> z,
                  cuda::device_view<const float, 2> partial, std::span<const logit_row<float>> rows,
                  std::span<const double> uniforms, std::span<drawn_row<float>> out, std::span<token> kept,
                  std::span<float> kept_z) {
    const auto m = z.extent(0), columns = z.extent(1), pieces = (columns + 15) / 16;
    const auto count = static_cast<std::size_t>(m);
    cuda::detail::expects_rows("draw_rows", "rows", count, rows.size());
    cuda::detail::expects_rows("draw_rows", "uniforms", count, uniforms.size());
    cuda::detail::expects_rows("draw_rows", "out", count, out.size());
    ql::detail::expects_shape("draw_rows", "partial", {m, pieces}, partial.extents());
    ql::detail::expects<shape_error>(z.stride(0) == columns, "draw_rows", "z", "dense rows", z.stride(0));
    auto scope = ctx.scratch();
    const auto* state = scope.copy(rows);
    const auto* u = scope.copy(uniforms);
    auto* drawn = scope.template take<drawn_row<float>>(m);
    if (!d.truncated()) {
      cuda::detail::for_each_element(ctx, m,
                                     cuda::draw_element{z.data_handle(), columns, columns, pieces, state,
                                                        partial.data_handle(), partial.stride(0), u, drawn});
      ctx.copy_out(static_cast<const drawn_row<float>*>(drawn), m, out.data());
      return;
    }
    float* sorted = scope.template take<float>(m * columns);
    auto* ids = scope.template take<std::int32_t>(m * columns);
    auto* room = scope.template take<std::int32_t>(m * columns);
    ctx.device().sort_rows(z.data_handle(), m, columns, sorted, ids, room);
    cuda::detail::for_each_element(
        ctx, m, cuda::draw_sorted_element{sorted, ids, columns, state, u, d.top_k, d.top_p, d.min_p, drawn});
    ctx.copy_out(static_cast<const drawn_row<float>*>(drawn), m, out.data());
    const auto width = m > 0 ? static_cast<std::int64_t>(kept.size()) / m : 0;
    for (std::int64_t r = 0; width > 0 && r < m; ++r) {
      const auto n = std::min({width, columns, static_cast<std::int64_t>(out[static_cast<std::size_t>(r)].kept)});
      ctx.copy_out(static_cast<const std::int32_t*>(ids + r * columns), n, kept.data() + r * width);
      ctx.copy_out(static_cast<const float*>(sorted + r * columns), n, kept_z.data() + r * width);
    }
  }
};

template <>
struct kernel<log_sum_exp_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static logit_row<float> run(Context& ctx, std::span<float> z, T) {  // z is the host's
    auto scope = ctx.scratch();
    const std::int64_t ends[] = {0, static_cast<std::int64_t>(z.size())};
    auto* state = scope.template take<logit_row<float>>(1);
    cuda::detail::for_each_element(ctx, 1, cuda::start_row_element{state});
    ctx.template launch<cuda::log_sum_exp_body>({scope.copy(std::span<const float>(z)), 0, 1, 0,
                                                 scope.copy(std::span<const std::int64_t>(ends)), 0, 1.0f, false,
                                                 state});
    cuda::detail::for_each_element(ctx, 1, cuda::finish_rows_element{state, nullptr, nullptr, nullptr});
    logit_row<float> out;
    ctx.copy_out(state, 1, &out);
    return out;
  }
};

}  // namespace ql
