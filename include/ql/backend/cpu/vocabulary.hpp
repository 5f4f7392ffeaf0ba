// SPDX-License-Identifier: Apache-2.0
#pragma once

// Linear + log-softmax + gather + entropy in blocks of the vocabulary, and its backward. No logits tensor.

#include <ql/backend/cpu/linear.hpp>
#include <ql/backend/cpu/rows.hpp>
#include <ql/math.hpp>

#include <algorithm>
#include <limits>

namespace ql {
namespace cpu::detail {

// z[rows, columns of one vocabulary block] of packed hidden rows
template <class T>
void block_logits(const matrix<T>& head, const void* packed, std::int64_t rows, std::int64_t v0, accumulate_t<T>* z) {
  const auto v1 = std::min(head.rows, v0 + vocab_block);
  for (auto v = v0; v < v1; v += panel_columns) {
    product_args<T> q;
    q.a = packed;
    q.rows = rows;
    q.k = head.columns;
    q.panel = head.packed + v / panel_columns * panel_size<T>(head.columns);
    q.columns = std::min(panel_columns, v1 - v);
    q.c = z + (v - v0);
    q.ldc = vocab_block;
    kernels<T>().product(q);
  }
}

template <class A>
struct running {
  A max = -std::numeric_limits<A>::infinity(), sum = 0, weighted = 0;
  A lse() const { return max + math::log(sum); }
  A entropy(A lse) const { return lse - weighted / sum; }
};

// Messages are put together only when they are needed: decoding allocates nothing.
inline void expects_rows(std::string_view op, std::string_view argument, std::size_t rows, std::size_t got) {
  if (got != rows) [[unlikely]]
    ql::detail::fail<shape_error>(op, argument, std::to_string(rows) + " values, one a row", std::to_string(got));
}
template <class T>
void check_vocabulary(std::string_view op, const vocabulary_args<T>& a) {
  const auto rows = a.targets.size();
  ql::detail::expects_shape(op, "hidden", {static_cast<std::int64_t>(rows), a.head.columns}, a.hidden.extents());
  ql::detail::expects_adjacent(op, "hidden", a.hidden);
  ql::detail::expects<state_error>(a.head.packed != nullptr, op, "head", "packed (published) weights", "none");
  expects_rows(op, "logp", rows, a.logp.size());
  expects_rows(op, "entropy", rows, a.entropy.size());
  expects_rows(op, "lse", rows, a.lse.size());
  expects_ids(op, "target", a.targets, a.head.rows, " (the vocabulary)");
  if (a.support_first.empty()) return;
  if (a.support_first.size() != rows + 1) [[unlikely]]
    ql::detail::fail<shape_error>(op, "support_first", std::to_string(rows + 1) + " values, one more than rows",
                                  std::to_string(a.support_first.size()));
  std::int64_t before = 0;
  for (auto at : a.support_first) {
    if (at < before || at > static_cast<std::int64_t>(a.support.size())) [[unlikely]]
      ql::detail::fail<argument_error>(op, "support_first",
                                       "ascending positions in support (0 to " + std::to_string(a.support.size()) + ")",
                                       std::to_string(at) + " after " + std::to_string(before));
    before = at;
  }
  expects_ids(op, "support", a.support, a.head.rows, " (the vocabulary)");
}

}  // namespace cpu::detail

template <>
struct kernel<vocabulary_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, const vocabulary_args<T>& a) {
    const auto rows = a.hidden.extent(0);
    cpu::detail::check_vocabulary("vocabulary", a);
    const auto& k = cpu::kernels<T>();
    const auto block = std::min<std::int64_t>(96, round_up((rows + ctx.threads() - 1) / ctx.threads(), 12));
    if (rows == 0) return;
    ctx.parallel_for((rows + block - 1) / block, [&](std::int64_t b, int thread) {
      auto scope = ctx.scratch(thread);
      const auto r0 = b * block, n = std::min(block, rows - r0);
      auto* packed = scope.take<char>(k.packed_rows_bytes(n, a.head.columns));
      A* z = scope.take<A>(n * vocab_block);
      auto* state = scope.take<cpu::detail::running<A>>(n);
      auto* kept = scope.take<cpu::detail::running<A>>(n);
      A* support = nullptr;
      std::int64_t widest = 0;
      if (!a.support_first.empty()) {
        for (std::int64_t r = r0; r < r0 + n; ++r)
          widest = std::max(
              widest, a.support_first[static_cast<std::size_t>(r) + 1] - a.support_first[static_cast<std::size_t>(r)]);
        support = scope.take<A>(n * std::max<std::int64_t>(1, widest));
      }
      for (std::int64_t i = 0; i < n; ++i) state[i] = kept[i] = {};
      k.pack_rows({a.hidden.data_handle() + r0 * a.hidden.stride(0), a.hidden.stride(0), 0, 1, 1}, n, a.head.columns,
                  packed);
      for (std::int64_t v = 0; v < a.head.rows; v += vocab_block) {
        const auto width = std::min(vocab_block, a.head.rows - v);
        cpu::detail::block_logits(a.head, packed, n, v, z);
        for (std::int64_t i = 0; i < n; ++i) {
          const auto r = static_cast<std::size_t>(r0 + i);
          A* row = z + i * vocab_block;
          k.logsumexp_block(row, width, a.inverse_temperature, &state[i].max, &state[i].sum, &state[i].weighted);
          const std::int64_t t = a.targets[r] - v;
          if (t >= 0 && t < width) a.logp[r] = row[t];
          if (support != nullptr) {
            for (auto j = a.support_first[r]; j < a.support_first[r + 1]; ++j) {
              const std::int64_t id = a.support[static_cast<std::size_t>(j)] - v;
              if (id >= 0 && id < width) support[i * widest + (j - a.support_first[r])] = row[id];
            }
          }
        }
      }
      for (std::int64_t i = 0; i < n; ++i) {
        const auto r = static_cast<std::size_t>(r0 + i);
        auto* s = &state[i];
        if (support != nullptr && a.support_first[r + 1] > a.support_first[r]) {
          s = &kept[i];
          k.logsumexp_block(support + i * widest, a.support_first[r + 1] - a.support_first[r], A(1), &s->max, &s->sum,
                            &s->weighted);
        }
        const A lse = s->lse();
        a.lse[r] = lse;
        a.logp[r] = a.logp[r] - lse;
        a.entropy[r] = s->entropy(lse);
      }
    });
  }
};

template <>
struct kernel<vocabulary_dx_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, const vocabulary_dx_args<T>& g) {
    const auto& a = g.forward;
    cpu::detail::check_vocabulary("vocabulary_dx", a);
    cpu::detail::expects_rows("vocabulary_dx", "dlogp", a.targets.size(), g.dlogp.size());
    if (!g.dentropy.empty())
      cpu::detail::expects_rows("vocabulary_dx", "dentropy", a.targets.size(), g.dentropy.size());
    const auto& k = cpu::kernels<T>();
    const auto rows = a.hidden.extent(0), depth = a.head.columns;
    constexpr std::int64_t piece = 24;
    const std::int64_t chunk = 1024;  // rows at a time; a multiple of product_block, so gradient chains do not see it
    static_assert(1024 % product_block == 0);
    for (std::int64_t c0 = 0; c0 < rows; c0 += chunk) {
      const auto n = std::min(chunk, rows - c0);
      auto scope = ctx.scratch();
      const auto pieces = (n + piece - 1) / piece;
      const auto piece_bytes = k.packed_rows_bytes(piece, depth);
      auto* packed = scope.take<char>(pieces * piece_bytes);
      A* z = scope.take<A>(n * vocab_block);
      ctx.parallel_for(pieces, [&](std::int64_t p) {
        const auto r = c0 + p * piece;
        k.pack_rows({a.hidden.data_handle() + r * a.hidden.stride(0), a.hidden.stride(0), 0, 1, 1},
                    std::min(piece, c0 + n - r), depth, packed + p * piece_bytes);
      });
      for (std::int64_t v = 0; v < a.head.rows; v += vocab_block) {
        const auto width = std::min(vocab_block, a.head.rows - v);
        ctx.parallel_for(pieces, [&](std::int64_t p) {
          const auto count = std::min(piece, n - p * piece);
          A* zp = z + p * piece * vocab_block;
          cpu::detail::block_logits(a.head, packed + p * piece_bytes, count, v, zp);
          for (std::int64_t i = 0; i < count; ++i) {
            const auto r = static_cast<std::size_t>(c0 + p * piece + i);
            A* row = zp + i * vocab_block;
            const A dentropy = g.dentropy.empty() ? A(0) : g.dentropy[r];
            const std::int64_t t = a.targets[r] - v;
            if (!a.support_first.empty() && a.support_first[r + 1] > a.support_first[r]) {
              // the gradient lives on the support alone
              const auto first = a.support_first[r], last = a.support_first[r + 1];
              A inside[vocab_block] = {};
              for (auto j = first; j < last; ++j) {
                const std::int64_t id = a.support[static_cast<std::size_t>(j)] - v;
                if (id < 0 || id >= width) continue;
                A x = row[id] * a.inverse_temperature;
                k.logits_dx(&x, 1, a.inverse_temperature, a.lse[r], a.entropy[r], g.dlogp[r], dentropy);
                inside[id] = x;
              }
              std::copy_n(inside, width, row);
            } else {
              for (std::int64_t j = 0; j < width; ++j) row[j] = row[j] * a.inverse_temperature;
              k.logits_dx(row, width, a.inverse_temperature, a.lse[r], a.entropy[r], g.dlogp[r], dentropy);
            }
            if (t >= 0 && t < width) row[t] = math::fma(g.dlogp[r], a.inverse_temperature, row[t]);
          }
        });
        const view<const A, 2> dz(z, {n, width}, {vocab_block, 1});
        if (g.dhidden != nullptr) {
          matrix<T> part = a.head;
          part.rows = width;
          part.master += v * depth;
          part.packed = nullptr;
          linear_dx(ctx, dz, part, view<A, 2>(g.dhidden + c0 * depth, {n, depth}), true);
        }
        if (g.dhead != nullptr)
          linear_dw(ctx, dz, a.hidden.rows(c0, n), view<A, 2>(g.dhead + v * depth, {width, depth}));
      }
    }
  }
};

template <>
struct kernel<logits_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, const matrix<T>& head, view<const T, 2> hidden, A inverse_temperature,
                  view<A, 2> z, std::span<logit_row<A>> out, view<A, 2> partial) {
    cpu::detail::expects_rows("logits", "rows", static_cast<std::size_t>(z.extent(0)), out.size());
    ql::detail::expects_shape("logits", "partial", {z.extent(0), (z.extent(1) + 15) / 16}, partial.extents());
    linear_sum(ctx, hidden, head, static_cast<const A*>(nullptr), z);
    ctx.parallel_for(z.extent(0), [&](std::int64_t r) {
      cpu::detail::running<A> s;
      for (std::int64_t v = 0; v < head.rows; v += vocab_block)
        cpu::kernels<T>().logsumexp_block(z.data_handle() + r * z.stride(0) + v, std::min(vocab_block, head.rows - v),
                                          inverse_temperature, &s.max, &s.sum, &s.weighted);
      auto& o = out[static_cast<std::size_t>(r)];
      o = {s.max, s.sum, s.weighted, s.lse(), 0};
      o.entropy = s.entropy(o.lse);
      cpu::kernels<T>().exp_sums(z.data_handle() + r * z.stride(0), head.rows, s.max,
                                 partial.data_handle() + r * partial.stride(0));
    });
  }
};

template <>
struct kernel<log_sum_exp_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static logit_row<A> run(cpu::context& ctx, std::span<A> z, T) {
    logit_row<A> out;
    ctx.parallel_for(1, [&](std::int64_t) {
      cpu::detail::running<A> s;
      cpu::kernels<T>().logsumexp_block(z.data(), static_cast<std::int64_t>(z.size()), A(1), &s.max, &s.sum,
                                        &s.weighted);
      out = {s.max, s.sum, s.weighted, s.lse(), 0};
      out.entropy = s.entropy(out.lse);
    });
    return out;
  }
};

}  // namespace ql
