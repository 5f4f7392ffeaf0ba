// SPDX-License-Identifier: Apache-2.0
#pragma once

// Rotation and attention over key pages. What says which row sees which page is the host's; it is copied for each call.

#include <ql/backend/cuda/body/attention.hpp>
#include <ql/backend/cuda/rows.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace ql {
namespace cuda::detail {

// A block of threads for each of `wanted` or more tiles keeps the largest device busy: splits need none of their own.
inline constexpr std::int64_t busy_blocks = 264;

// Where rows stand, on the device. Host copies of what it points to live as long as this.
template <class T, class Context>
struct staged_places {
  attention_places<T> device;
  std::vector<T*> pages;         // of every entry of the rows' paths
  std::int64_t last_block = -1;  // the last that any row sees

  template <class Scope>
  staged_places(Scope& scope, const char* op, const attention_shape& s, const row_places& p, T* const* base,
                std::int64_t layer_offset) {
    ql::detail::expects<backend_error>(s.head_dim <= 2 * tile_columns && s.head_dim % 2 == 0, op, "head_dim",
                                       "an even number up to 128", s.head_dim);
    std::int64_t entries = 0, most = 0;
    for (std::int64_t r = 0; r < p.rows; ++r) {
      const auto block = p.position[r] / key_block;
      last_block = std::max(last_block, block);
      entries = std::max(entries, p.path[r] + block + 1);
    }
    for (const auto& run : p.runs) most = std::max<std::int64_t>(most, run.rows * s.group());
    pages.reserve(static_cast<std::size_t>(entries));
    for (std::int64_t i = 0; i < entries; ++i) pages.push_back(base[p.pages[i]] + layer_offset);
    device.heads = static_cast<std::int32_t>(s.heads);
    device.kv_heads = static_cast<std::int32_t>(s.kv_heads);
    device.head_dim = static_cast<std::int32_t>(s.head_dim);
    device.padded_dim = static_cast<std::int32_t>(s.padded_dim());
    device.runs = scope.copy(std::span<const query_run>(p.runs));
    device.run_count = static_cast<std::int64_t>(p.runs.size());
    device.rows = p.rows;
    device.run_tiles = static_cast<std::int32_t>(std::max<std::int64_t>(1, (most + tile_rows - 1) / tile_rows));
    const auto rows = static_cast<std::size_t>(p.rows);
    device.position = scope.copy(std::span(p.position, rows));
    device.path = scope.copy(std::span(p.path, rows));
    device.pages = scope.copy(std::span<T* const>(pages));
    device.scale = 1.0f / math::sqrt(static_cast<float>(s.head_dim));
  }
};

// The rows of a table that `p` asks for, on the device.
template <class Scope>
const float* rows_of_table(Scope& scope, const row_places& p, const float* table, std::int64_t columns) {
  std::vector<float> rows(static_cast<std::size_t>(p.rows * columns));
  for (std::int64_t r = 0; r < p.rows; ++r)
    std::copy_n(table + p.position[r] * columns, columns, rows.begin() + r * columns);
  return scope.copy(std::span<const float>(rows));
}

// f(integral_constant<int, chunks of 64 of head_dim>)
template <class F>
void for_chunks(std::int64_t head_dim, F&& f) {
  if (head_dim <= tile_columns) {
    f(std::integral_constant<int, 1>{});
  } else {
    f(std::integral_constant<int, 2>{});
  }
}

}  // namespace cuda::detail

template <>
struct kernel<rotary_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, const rotary_args<T>& a) {
    auto scope = ctx.scratch();
    const cuda::detail::staged_places<T, Context> places(scope, "rotary", a.shape, a.places, a.page_base,
                                                         a.layer_offset);
    cuda::rotary_arguments<T> r;
    r.places = places.device;
    r.columns = a.shape.qkv_columns();
    r.qkv = a.qkv;
    r.q_norm = a.q_norm;
    r.k_norm = a.k_norm;
    r.eps = a.eps;
    r.cosine = cuda::detail::rows_of_table(scope, a.places, a.cosine, a.shape.head_dim / 2);
    r.sine = cuda::detail::rows_of_table(scope, a.places, a.sine, a.shape.head_dim / 2);
    r.q = a.q;
    r.rstd = a.rstd;
    ctx.template launch<cuda::rotary_body<T>>(r);
  }
};

template <>
struct kernel<attention_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, const attention_args<T>& a) {
    if (a.places.rows == 0) return;
    auto scope = ctx.scratch();
    const cuda::detail::staged_places<T, Context> places(scope, "attention", a.shape, a.places, a.page_base,
                                                         a.layer_offset);
    cuda::attention_forward_arguments<T> f;
    f.places = places.device;
    f.q = a.q;
    f.out = a.out;
    f.lse = a.lse;
    const auto splits = places.last_block / cuda::split_blocks + 1;
    const auto tiles = f.places.run_count * a.shape.kv_heads * f.places.run_tiles;
    // who folds the splits changes no bit
    const bool apart = splits > 1 && tiles < cuda::detail::busy_blocks;
    if (apart) {
      const auto n = splits * a.places.rows * a.shape.heads;
      f.splits = static_cast<std::int32_t>(splits);
      f.part_max = scope.template take<float>(n);
      f.part_sum = scope.template take<float>(n);
      f.part_out = scope.template take<float>(n * a.shape.head_dim);
    }
    cuda::detail::for_chunks(a.shape.head_dim,
                             [&](auto chunks) { ctx.template launch<cuda::attention_forward_body<T, chunks()>>(f); });
    if (apart) ctx.template launch<cuda::attention_combine_body<T>>(f);
  }
};

template <>
struct kernel<attention_dx_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, const attention_dx_args<T>& g) {
    const auto& a = g.forward;
    if (a.places.rows == 0) return;
    auto scope = ctx.scratch();
    const cuda::detail::staged_places<T, Context> places(scope, "attention_dx", a.shape, a.places, a.page_base,
                                                         a.layer_offset);
    std::vector<T*> pages;
    std::vector<float*> gradients;
    for (const auto& use : g.uses.uses) {
      pages.push_back(a.page_base[use.page] + a.layer_offset);
      gradients.push_back(g.page_gradient[use.page]);
    }
    const auto rows = a.places.rows * a.shape.heads;
    float* delta = scope.template take<float>(rows);
    cuda::attention_backward_arguments<T> b;
    b.places = places.device;
    b.q = a.q;
    b.dout = g.dout;
    b.lse = a.lse;
    b.delta = delta;
    b.dq = g.dq;
    b.uses = scope.copy(g.uses.uses);
    b.use_count = static_cast<std::int64_t>(g.uses.uses.size());
    b.ranges = scope.copy(g.uses.ranges);
    b.use_pages = scope.copy(std::span<T* const>(pages));
    b.use_gradients = scope.copy(std::span<float* const>(gradients));
    ctx.template launch<cuda::delta_body<T>>({g.dout, a.out, rows, a.shape.head_dim, delta});
    cuda::detail::for_chunks(a.shape.head_dim, [&](auto chunks) {
      ctx.template launch<cuda::attention_keys_dx_body<T, chunks(), false>>(b);
      ctx.template launch<cuda::attention_keys_dx_body<T, chunks(), true>>(b);
      ctx.template launch<cuda::attention_queries_dx_body<T, chunks()>>(b);
    });
  }
};

template <>
struct kernel<rotary_dx_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, const rotary_dx_args<T>& g) {
    const auto& a = g.forward;
    const auto& s = a.shape;
    const auto rows = a.places.rows, d = s.head_dim, columns = s.qkv_columns(), heads = s.heads + s.kv_heads;
    if (rows == 0) return;
    auto scope = ctx.scratch();
    const cuda::detail::staged_places<T, Context> places(scope, "rotary_dx", s, a.places, a.page_base, a.layer_offset);
    std::vector<float*> gradients;
    for (std::size_t i = 0; i < places.pages.size(); ++i) gradients.push_back(g.page_gradient[a.places.pages[i]]);
    cuda::detail::for_each_element(
        ctx, rows * (s.heads + 2 * s.kv_heads) * (d / 2),
        cuda::rotary_dx_element<T>{places.device, cuda::detail::rows_of_table(scope, a.places, a.cosine, d / 2),
                                   cuda::detail::rows_of_table(scope, a.places, a.sine, d / 2), g.dq,
                                   scope.copy(std::span<float* const>(gradients)), columns, g.dqkv});
    if (a.q_norm == nullptr) return;
    // every (row, head) is a row of the norm; one weight vector for queries, one for keys
    const auto norm = [&](std::int64_t first, std::int64_t count, const float* w, float* dw) {
      const cuda::grouped_rows vectors{columns, d, count}, scales{heads, 1, count};
      float* at = g.dqkv + first * d;
      const float* x = a.qkv + first * d;
      const float* rstd = a.rstd + first;
      if (dw != nullptr)
        cuda::detail::for_each_element(ctx, d,
                                       cuda::column_element{at, vectors, x, vectors, rstd, scales, rows * count, dw});
      ctx.template launch<cuda::rms_norm_dx_body>(
          {at, vectors, x, vectors, w, rstd, scales, rows * count, d, at, vectors, true});
    };
    norm(0, s.heads, a.q_norm, g.dq_norm);
    norm(s.heads, s.kv_heads, a.k_norm, g.dk_norm);
  }
};

template <>
struct kernel<copy_keys_op, cuda::backend> {
  template <cuda::any_context Context, class T>
  static void run(Context& ctx, const attention_shape& s, std::int64_t layers, const T* from, T* to,
                  std::int64_t keys) {
    cuda::detail::for_each_element(ctx, layers * 2 * s.kv_heads * keys * s.padded_dim(),
                                   cuda::copy_keys_element<T>{from, to, keys, s.padded_dim()});
  }
};

template <>
struct kernel<return_keys_op, cuda::backend> {
  template <cuda::any_context Context>
  static void run(Context& ctx, const attention_shape& s, const float* from, float* to, std::int64_t keys) {
    cuda::detail::for_each_element(ctx, 2 * s.kv_heads * keys * s.padded_dim(),
                                   cuda::return_keys_element{from, to, keys, s.padded_dim()});
  }
};

}  // namespace ql
