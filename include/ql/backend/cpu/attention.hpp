// SPDX-License-Identifier: Apache-2.0
#pragma once

// Attention over key pages. One page at a time: keys stand as a product panel [d][64], values as [64][padded d].

#include <ql/backend/cpu/context.hpp>
#include <ql/backend/cpu/kernel_table.hpp>
#include <ql/backend/cpu/rows.hpp>
#include <ql/math.hpp>
#include <ql/tensor/operations.hpp>

#include <algorithm>
#include <cstring>
#include <limits>

namespace ql {
namespace cpu::detail {

// Element (k, n) of a panel whose (pairs of) k are `stride` elements apart.
template <class T>
constexpr std::int64_t panel_index(std::int64_t k, std::int64_t n, std::int64_t stride) {
  return k / panel_pair<T> * stride + n * panel_pair<T> + k % panel_pair<T>;
}

// Where one key-value head of a page lies.
template <class T>
struct page_head {
  T* keys;    // panel: k = dimension, n = key
  T* values;  // panel: k = key, n = dimension
  static constexpr std::int64_t key_stride = key_block * panel_pair<std::remove_const_t<T>>;
  std::int64_t value_stride;
  page_head(T* page, const attention_shape& s, std::int64_t kv)
      : keys(page + kv * 2 * key_block * s.padded_dim()),
        values(keys + key_block * s.padded_dim()),
        value_stride(s.padded_dim() * panel_pair<std::remove_const_t<T>>) {}
};

template <class T>
T* page_of(T* const* base, const row_places& p, std::int64_t row, std::int64_t block, std::int64_t layer_offset) {
  return base[p.pages[p.path[row] + block]] + layer_offset;
}

// Scratch of one (run, key-value head): rows are (token, head of the group), token-major.
template <class T>
struct attention_tile {
  using A = accumulate_t<T>;
  std::int64_t rows;
  char* q;  // packed queries
  A* s;     // (rows, 64)
  char* p;  // packed probabilities
  A *max, *sum, *factor;
  std::int32_t* visible;
};

template <class T>
void attend_page(const attention_shape& shape, const page_head<T>& page, const attention_tile<T>& t,
                 accumulate_t<T> scale, accumulate_t<T>* out) {
  const auto& k = kernels<T>();
  const std::int32_t most = *std::max_element(t.visible, t.visible + t.rows);
  for (std::int64_t n = 0; n < most; n += panel_columns) {
    product_args<T> a;
    a.a = t.q;
    a.rows = t.rows;
    a.k = shape.head_dim;
    a.panel = page.keys + n * panel_pair<T>;
    a.panel_stride = page.key_stride;
    a.c = t.s + n;
    a.ldc = key_block;
    k.product(a);
  }
  k.softmax_block(t.s, t.rows, t.visible, scale, t.max, t.sum, t.factor);
  // keys past the last visible one have probability zero: leaving them out changes no bit
  const auto depth = std::min(key_block, round_up(most, product_step));
  k.pack_rows_rounded({t.s, key_block, 0, 1, 1}, t.rows, depth, t.p);
  for (std::int64_t n = 0; n < shape.head_dim; n += panel_columns) {
    product_args<T> a;
    a.a = t.p;
    a.rows = t.rows;
    a.k = depth;
    a.panel = page.values + n * panel_pair<T>;
    a.panel_stride = page.value_stride;
    a.what = epilogue::scale_add;
    a.c = out + n;
    a.ldc = shape.padded_dim();
    a.scale = t.factor;
    k.product(a);
  }
}

}  // namespace cpu::detail

template <>
struct kernel<rotary_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, const rotary_args<T>& a) {
    const auto& s = a.shape;
    const auto d = s.head_dim, dp = s.padded_dim();
    const auto& k = cpu::kernels<T>();
    ctx.parallel_for((a.places.rows + 15) / 16, [&](std::int64_t piece, int thread) {
      auto scope = ctx.scratch(thread);
      A* x = scope.take<A>((s.heads + s.kv_heads) * d);
      T* key = scope.take<T>(s.kv_heads * d);
      for (auto r = piece * 16; r < std::min(a.places.rows, piece * 16 + 16); ++r) {
        const A* row = a.qkv + r * s.qkv_columns();
        const auto position = a.places.position[r];
        const A* cosine = a.cosine + position * (d / 2);
        const A* sine = a.sine + position * (d / 2);
        std::memcpy(x, row, sizeof(A) * static_cast<std::size_t>((s.heads + s.kv_heads) * d));
        if (a.q_norm != nullptr)
          for (std::int64_t h = 0; h < s.heads + s.kv_heads; ++h)
            k.rms_norm(row + h * d, h < s.heads ? a.q_norm : a.k_norm, a.eps, d, nullptr, x + h * d,
                       a.rstd + r * (s.heads + s.kv_heads) + h);
        k.rope(x, s.heads, d, cosine, sine, false, a.q + r * s.heads * d, nullptr);
        k.rope(x + s.heads * d, s.kv_heads, d, cosine, sine, false, key, nullptr);
        T* page = cpu::detail::page_of(a.page_base, a.places, r, position / key_block, a.layer_offset);
        const auto column = position % key_block;
        const A* value = row + (s.heads + s.kv_heads) * d;
        for (std::int64_t h = 0; h < s.kv_heads; ++h) {
          const cpu::detail::page_head<T> at(page, s, h);
          for (std::int64_t i = 0; i < d; ++i)
            at.keys[cpu::detail::panel_index<T>(i, column, at.key_stride)] = key[h * d + i];
          if constexpr (cpu::panel_pair<T> == 1) {
            std::memcpy(at.values + column * dp, value + h * d, sizeof(T) * static_cast<std::size_t>(d));
          } else {
            for (std::int64_t i = 0; i < d; ++i)
              at.values[cpu::detail::panel_index<T>(column, i, at.value_stride)] = T(value[h * d + i]);
          }
        }
      }
    });
  }
};

template <>
struct kernel<attention_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, const attention_args<T>& a) {
    const auto& s = a.shape;
    const auto runs = static_cast<std::int64_t>(a.places.runs.size());
    const auto d = s.head_dim, dp = s.padded_dim(), group = s.group();
    const auto& k = cpu::kernels<T>();
    const A scale = A(1) / math::sqrt(static_cast<A>(d));
    ctx.parallel_for(runs * s.kv_heads, [&](std::int64_t task, int thread) {
      const auto& run = a.places.runs[static_cast<std::size_t>(task / s.kv_heads)];
      const auto kv = task % s.kv_heads;
      auto scope = ctx.scratch(thread);
      cpu::detail::attention_tile<T> t{};
      t.rows = run.rows * group;
      t.q = scope.template take<char>(k.packed_rows_bytes(t.rows, d));
      t.p = scope.template take<char>(k.packed_rows_bytes(t.rows, key_block));
      t.s = scope.template take<A>(t.rows * key_block);
      t.max = scope.template take<A>(t.rows);
      t.sum = scope.template take<A>(t.rows);
      t.factor = scope.template take<A>(t.rows);
      t.visible = scope.template take<std::int32_t>(t.rows);
      A* out = scope.template take<A>(t.rows * dp);
      std::fill_n(t.max, t.rows, -std::numeric_limits<A>::infinity());
      std::fill_n(t.sum, t.rows, A(0));
      std::fill_n(out, t.rows * dp, A(0));
      const auto queries = [&](std::int64_t first) {
        return cpu::row_set<T>{a.q + first * s.heads * d + kv * group * d, s.heads * d, d, group, 1};
      };
      k.pack_rows(queries(run.first), t.rows, d, t.q);
      for (std::int64_t b = 0; b < run.shared_blocks; ++b) {
        for (std::int64_t r = 0; r < t.rows; ++r)
          t.visible[r] = static_cast<std::int32_t>(
              std::min(key_block, a.places.position[run.first + r / group] - b * key_block + 1));
        cpu::detail::attend_page(
            s,
            cpu::detail::page_head<T>(cpu::detail::page_of(a.page_base, a.places, run.first, b, a.layer_offset), s, kv),
            t, scale, out);
      }
      for (std::int64_t i = 0; i < run.rows; ++i) {
        const auto position = a.places.position[run.first + i];
        if (position / key_block < run.shared_blocks) continue;
        cpu::detail::attention_tile<T> one = t;
        one.rows = group;
        one.max += i * group;
        one.sum += i * group;
        one.factor += i * group;
        k.pack_rows(queries(run.first + i), group, d, one.q);
        for (std::int64_t b = run.shared_blocks; b <= position / key_block; ++b) {
          std::fill_n(one.visible, group, static_cast<std::int32_t>(std::min(key_block, position - b * key_block + 1)));
          cpu::detail::attend_page(
              s,
              cpu::detail::page_head<T>(cpu::detail::page_of(a.page_base, a.places, run.first + i, b, a.layer_offset),
                                        s, kv),
              one, scale, out + i * group * dp);
        }
      }
      for (std::int64_t r = 0; r < t.rows; ++r) {
        const auto row = run.first + r / group, head = kv * group + r % group;
        k.divide(out + r * dp, t.sum[r], d, a.out + (row * s.heads + head) * d);
        if (a.lse != nullptr) a.lse[row * s.heads + head] = t.max[r] + math::log(t.sum[r]);
      }
    });
  }
};

template <>
struct kernel<attention_dx_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, const attention_dx_args<T>& g) {
    const auto& a = g.forward;
    const auto& s = a.shape;
    const auto d = s.head_dim, dp = s.padded_dim(), group = s.group();
    const auto& k = cpu::kernels<T>();
    const A scale = A(1) / math::sqrt(static_cast<A>(d));
    const auto trees = static_cast<std::int64_t>(g.uses.trees.size()) - 1;
    cpu::detail::for_rows(ctx, a.places.rows * s.heads * dp, 1,
                          [&](std::int64_t i0, std::int64_t i1) { std::fill(g.dq + i0, g.dq + i1, A(0)); });
    auto whole = ctx.scratch();
    A* const all_delta = whole.template take<A>(a.places.rows * s.heads);
    cpu::detail::for_rows(ctx, a.places.rows * s.heads, d, [&](std::int64_t i0, std::int64_t i1) {
      for (auto i = i0; i < i1; ++i) all_delta[i] = k.dot(g.dout + i * d, a.out + i * d, d);
    });
    // A page's gradient gathers its runs in order, a row's gradient its pages in order: one task owns both.
    ctx.parallel_for(trees * s.kv_heads, [&](std::int64_t task, int thread) {
      const auto tree = static_cast<std::size_t>(task / s.kv_heads);
      const auto kv = task % s.kv_heads;
      constexpr std::int64_t pair = cpu::panel_pair<T>;
      for (auto u = g.uses.trees[tree]; u < g.uses.trees[tree + 1]; ++u) {
        const auto& use = g.uses.uses[static_cast<std::size_t>(u)];
        auto scope = ctx.scratch(thread);
        const cpu::detail::page_head<T> page(a.page_base[use.page] + a.layer_offset, s, kv);
        A* dkeys = g.page_gradient[use.page] + kv * 2 * key_block * dp;
        A* dvalues = dkeys + key_block * dp;
        // the same page with keys and dimensions exchanged
        T* keys = scope.template take<T>(key_block * dp);                     // k = key, n = dimension
        T* values = scope.template take<T>(cpu::padded_k<T>(d) * key_block);  // k = dimension, n = key
        std::memset(static_cast<void*>(keys), 0, sizeof(T) * static_cast<std::size_t>(key_block * dp));
        std::memset(static_cast<void*>(values), 0,
                    sizeof(T) * static_cast<std::size_t>(cpu::padded_k<T>(d) * key_block));
        for (std::int64_t c = 0; c < key_block; ++c)
          for (std::int64_t i = 0; i < d; ++i) {
            keys[cpu::detail::panel_index<T>(c, i, dp * pair)] =
                page.keys[cpu::detail::panel_index<T>(i, c, page.key_stride)];
            values[cpu::detail::panel_index<T>(i, c, key_block * pair)] =
                page.values[cpu::detail::panel_index<T>(c, i, page.value_stride)];
          }
        const auto one_run = [&](const query_run& run) {
          auto inner = ctx.scratch(thread);
          const auto rows = run.rows * group;
          char* packed =
              inner.template take<char>(k.packed_rows_bytes(std::max(rows, key_block), std::max({rows, d, key_block})));
          A* p = inner.template take<A>(rows * key_block);
          A* ds = inner.template take<A>(rows * key_block);
          A* lse = inner.template take<A>(rows);
          A* delta = inner.template take<A>(rows);
          auto* visible = inner.template take<std::int32_t>(rows);
          T* panel = inner.template take<T>(cpu::padded_k<T>(rows) * panel_columns);
          const auto offset = run.first * s.heads * d + kv * group * d;
          const cpu::row_set<T> q{a.q + offset, s.heads * d, d, group, 1};
          const cpu::row_set<A> dout{g.dout + offset, s.heads * d, d, group, 1};
          std::int32_t most = 0;
          for (std::int64_t r = 0; r < rows; ++r) {
            const auto row = run.first + r / group, head = kv * group + r % group;
            lse[r] = a.lse[row * s.heads + head];
            delta[r] = all_delta[row * s.heads + head];
            visible[r] =
                static_cast<std::int32_t>(std::min(key_block, a.places.position[row] - use.block * key_block + 1));
            most = std::max(most, visible[r]);
          }
          const auto columns = round_up(most, panel_columns);
          const auto scores = [&](const T* from, std::int64_t stride, A* to) {
            for (std::int64_t n = 0; n < columns; n += panel_columns) {
              cpu::product_args<T> x;
              x.a = packed;
              x.rows = rows;
              x.k = d;
              x.panel = from + n * pair;
              x.panel_stride = stride;
              x.c = to + n;
              x.ldc = key_block;
              k.product(x);
            }
          };
          k.pack_rows(q, rows, d, packed);
          scores(page.keys, page.key_stride, p);
          k.pack_rows_rounded(dout, rows, d, packed);
          scores(values, key_block * pair, ds);
          if (columns < key_block)
            for (std::int64_t r = 0; r < rows; ++r)
              std::fill_n(ds + r * key_block + columns, key_block - columns, A(0));
          k.softmax_block_dx(p, ds, rows, visible, scale, lse, delta);
          // dQ += dS K
          k.pack_rows_rounded({ds, key_block, 0, 1, 1}, rows, columns, packed);
          A* dq = g.dq + (kv * a.places.rows + run.first) * group * dp;
          for (std::int64_t n = 0; n < d; n += panel_columns) {
            cpu::product_args<T> x;
            x.a = packed;
            x.rows = rows;
            x.k = columns;
            x.panel = keys + n * pair;
            x.panel_stride = dp * pair;
            x.what = cpu::epilogue::add;
            x.c = dq + n;
            x.ldc = dp;
            k.product(x);
          }
          // dK += dS^T Q, dV += P^T dO: chains over the rows of the run
          const auto gather = [&](const A* weights, auto&& fill, A* to) {
            k.pack_rows_rounded({weights, 1, 0, 1, key_block}, most, rows, packed);
            for (std::int64_t n = 0; n < d; n += panel_columns) {
              fill(n);
              cpu::product_args<T> x;
              x.a = packed;
              x.rows = most;
              x.k = rows;
              x.panel = panel;
              x.what = cpu::epilogue::chain;
              x.c = to + n;
              x.ldc = dp;
              k.product(x);
            }
          };
          constexpr auto panel_stride = panel_columns * pair;
          gather(
              ds,
              [&](std::int64_t n) {
                k.pack_panel({q.data + n, q.outer, q.inner, q.group, 1}, rows, std::min(panel_columns, d - n), panel,
                             panel_stride);
              },
              dkeys);
          gather(
              p,
              [&](std::int64_t n) {
                k.pack_panel_rounded({dout.data + n, dout.outer, dout.inner, dout.group, 1}, rows,
                                     std::min(panel_columns, d - n), panel, panel_stride);
              },
              dvalues);
        };
        for (const auto& range :
             g.uses.ranges.subspan(static_cast<std::size_t>(use.first), static_cast<std::size_t>(use.count)))
          for (const auto& run :
               a.places.runs.subspan(static_cast<std::size_t>(range.first), static_cast<std::size_t>(range.count)))
            one_run(run);
      }
    });
  }
};

template <>
struct kernel<rotary_dx_op, cpu::backend> {
  template <class T, class A = accumulate_t<T>>
  static void run(cpu::context& ctx, const rotary_dx_args<T>& g) {
    const auto& a = g.forward;
    const auto& s = a.shape;
    const auto d = s.head_dim, dp = s.padded_dim(), group = s.group(), rows = a.places.rows;
    const auto heads = s.heads + s.kv_heads;
    const auto& k = cpu::kernels<A>();
    ctx.parallel_for((rows + 15) / 16, [&](std::int64_t piece) {
      for (auto r = piece * 16; r < std::min(rows, piece * 16 + 16); ++r) {
        A* row = g.dqkv + r * s.qkv_columns();
        const auto position = a.places.position[r];
        const A* cosine = a.cosine + position * (d / 2);
        const A* sine = a.sine + position * (d / 2);
        for (std::int64_t h = 0; h < s.heads; ++h)
          k.rope(g.dq + ((h / group * rows + r) * group + h % group) * dp, 1, d, cosine, sine, true, nullptr,
                 row + h * d);
        const A* page = g.page_gradient[a.places.pages[a.places.path[r] + position / key_block]];
        const auto column = position % key_block;
        for (std::int64_t h = 0; h < s.kv_heads; ++h) {
          const A* dkeys = page + (2 * h * key_block + column) * dp;
          k.rope(dkeys, 1, d, cosine, sine, true, nullptr, row + (s.heads + h) * d);
          std::memcpy(row + (heads + h) * d, dkeys + key_block * dp, sizeof(A) * static_cast<std::size_t>(d));
        }
      }
    });
    if (a.q_norm == nullptr) return;
    // every (row, head) is a row of the norm; one weight vector for queries, one for keys
    const auto norm_dw = [&](std::int64_t first, std::int64_t count, A* dw) {
      if (dw == nullptr) return;
      ctx.parallel_for(1, [&](std::int64_t) {
        auto scope = ctx.scratch(0);
        A* rstd = scope.take<A>(rows * count);
        for (std::int64_t r = 0; r < rows; ++r)
          for (std::int64_t h = 0; h < count; ++h) rstd[r * count + h] = a.rstd[r * heads + first + h];
        k.rms_norm_dw({g.dqkv + first * d, s.qkv_columns(), d, count, 1},
                      {a.qkv + first * d, s.qkv_columns(), d, count, 1}, rstd, rows * count, 0, d, dw);
      });
    };
    norm_dw(0, s.heads, g.dq_norm);
    norm_dw(s.heads, s.kv_heads, g.dk_norm);
    ctx.parallel_for((rows + 15) / 16, [&](std::int64_t piece, int thread) {
      auto scope = ctx.scratch(thread);
      A* dx = scope.take<A>(d);
      for (auto r = piece * 16; r < std::min(rows, piece * 16 + 16); ++r)
        for (std::int64_t h = 0; h < heads; ++h) {
          A* at = g.dqkv + r * s.qkv_columns() + h * d;
          std::fill_n(dx, d, A(0));
          k.rms_norm_dx(at, a.qkv + r * s.qkv_columns() + h * d, h < s.heads ? a.q_norm : a.k_norm,
                        a.rstd[r * heads + h], d, dx);
          std::memcpy(at, dx, sizeof(A) * static_cast<std::size_t>(d));
        }
    });
  }
};

template <>
struct kernel<copy_keys_op, cpu::backend> {
  template <class T>
  static void run(cpu::context& ctx, const attention_shape& s, std::int64_t layers, const T* from, T* to,
                  std::int64_t keys) {
    ctx.parallel_for(layers * s.kv_heads, [&](std::int64_t task) {
      const auto layer = task / s.kv_heads, h = task % s.kv_heads;
      const cpu::detail::page_head<const T> src(from + layer * s.page_elements(), s, h);
      const cpu::detail::page_head<T> dst(to + layer * s.page_elements(), s, h);
      for (std::int64_t i = 0; i < s.head_dim; ++i)
        for (std::int64_t c = 0; c < keys; ++c) {
          const auto at = cpu::detail::panel_index<T>(i, c, cpu::detail::page_head<T>::key_stride);
          dst.keys[at] = src.keys[at];
          const auto av = cpu::detail::panel_index<T>(c, i, dst.value_stride);
          dst.values[av] = src.values[av];
        }
    });
  }
};

template <>
struct kernel<return_keys_op, cpu::backend> {
  template <class A>
  static void run(cpu::context& ctx, const attention_shape& s, const A* from, A* to, std::int64_t keys) {
    const auto plane = key_block * s.padded_dim();
    ctx.parallel_for(2 * s.kv_heads, [&](std::int64_t h) {
      cpu::kernels<A>().add(from + h * plane, keys * s.padded_dim(), to + h * plane);
    });
  }
};

}  // namespace ql
