// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/backend/cuda/block.hpp>
#include <ql/backend/cuda/body/tile.hpp>

namespace ql::cuda {

// What becomes of the total of an element; docs/numerics.md, section 4.
enum class epilogue : std::int32_t {
  store,  // c = total + bias
  round,  // t = T(total + bias)
  add,    // c = c + (total + bias)
  chain,  // total starts as c, and c = total
};

// c[m, n] (op) sum over k of a(m, k) b(n, k). Elements are at strides; a's type may be the accumulator's, it is
// rounded.
template <class T, class E>
struct product_arguments {
  const E* a = nullptr;
  std::int64_t a_row = 0, a_k = 0;
  const T* b = nullptr;
  std::int64_t b_row = 0, b_k = 0;
  std::int64_t rows = 0, columns = 0, depth = 0;
  epilogue what = epilogue::store;
  float* c = nullptr;
  std::int64_t ldc = 0;
  T* t = nullptr;
  std::int64_t ldt = 0;
  const float* bias = nullptr;
};

// AcrossA, AcrossB: neighbouring threads read neighbouring rows (the stride of k is the long one).
template <class T, class E, bool AcrossA, bool AcrossB>
struct product_body {
  using arguments = product_arguments<T, E>;
  static constexpr std::int64_t stride = staged_stride<T>(tile_depth);
  static constexpr launch_shape shape(const arguments& a) {
    return {(a.rows + tile_rows - 1) / tile_rows * ((a.columns + tile_columns - 1) / tile_columns),
            2 * shared_size<T>(tile_rows * stride)};
  }

  template <bool Across, class Block, class S, class From>
  QL_DEVICE static void stage(Block& b, S& to, const From* from, std::int64_t row_stride, std::int64_t k_stride,
                              std::int64_t row0, std::int64_t rows, std::int64_t k0, std::int64_t depth) {
    b.each([&](int t) {
      for (int j = 0; j < tile_rows * tile_depth / block_threads; ++j) {
        const int i = t + j * block_threads;
        const int r = Across ? i % tile_rows : i / tile_depth, k = Across ? i / tile_rows : i % tile_depth;
        const bool inside = row0 + r < rows && k0 + k < depth;
        to.set(r * stride + k,
               inside ? rounded<T>(from[(row0 + r) * row_stride + (k0 + k) * k_stride]) : rounded<T>(0.0f));
      }
    });
  }

  template <class Block>
  QL_DEVICE static void run(Block& b, const arguments& a) {
    auto sa = b.template share<T>(tile_rows * stride);
    auto sb = b.template share<T>(tile_rows * stride);
    typename Block::template registers<tile_part> total(b), chain(b);
    const std::int64_t row_tiles = (a.rows + tile_rows - 1) / tile_rows;
    const std::int64_t m0 = b.index() % row_tiles * tile_rows, n0 = b.index() / row_tiles * tile_columns;
    if (a.what == epilogue::chain) {
      b.each([&](int t) {
        for_elements<T>(t, total[t], [&](int r, int c, float& x) {
          x = m0 + r < a.rows && n0 + c < a.columns ? a.c[(m0 + r) * a.ldc + n0 + c] : 0.0f;
        });
      });
    } else {
      clear_tile(b, total);
    }
    const auto left = as_operand<false>(sa, stride);
    const auto right = as_operand<false>(sb, stride);
    for (std::int64_t k0 = 0; k0 < a.depth; k0 += tile_depth) {
      if (k0 > 0) b.sync();
      stage<AcrossA>(b, sa, a.a, a.a_row, a.a_k, m0, a.rows, k0, a.depth);
      stage<AcrossB>(b, sb, a.b, a.b_row, a.b_k, n0, a.columns, k0, a.depth);
      b.sync();
      if constexpr (std::same_as<T, float>) {
        if (k0 % product_block == 0) clear_tile(b, chain);
        multiply<T>(b, chain, left, 0, right, 0, tile_depth);
        if ((k0 + tile_depth) % product_block == 0 || k0 + tile_depth >= a.depth)
          b.each([&](int t) {
            QL_UNROLL
            for (int e = 0; e < tile_part::elements; ++e) total[t].x[e] = total[t].x[e] + chain[t].x[e];
          });
      } else {
        multiply<T>(b, total, left, 0, right, 0, tile_depth);
      }
    }
    b.each([&](int t) {
      for_elements<T>(t, total[t], [&](int r, int c, float x) {
        const std::int64_t m = m0 + r, n = n0 + c;
        if (m >= a.rows || n >= a.columns) return;
        if (a.bias != nullptr) x = x + a.bias[n];
        switch (a.what) {
          case epilogue::store:
          case epilogue::chain: a.c[m * a.ldc + n] = x; break;
          case epilogue::round: a.t[m * a.ldt + n] = rounded<T>(x); break;
          case epilogue::add: a.c[m * a.ldc + n] = a.c[m * a.ldc + n] + x; break;
        }
      });
    });
  }
};

// y = x W^T; dx = T(dy) W; dw += T(dy)^T x
template <class T>
using forward_product = product_body<T, T, false, false>;
template <class T>
using input_product = product_body<T, float, false, true>;
template <class T>
using weight_product = product_body<T, float, true, true>;

}  // namespace ql::cuda
