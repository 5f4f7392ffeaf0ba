// SPDX-License-Identifier: Apache-2.0
#pragma once

// bf16 products with vdpbf16ps, for processors that have it and no matrix tiles. Twice the rate of float fma there, but
// the instruction adds pairs in an order of its own, so these kernels have bits of their own: every row rule holds
// (sampling and training agree bit for bit), yet results differ from those of all other kernels. Opt-in, never chosen.

#include <ql/backend/cpu/simd/kernels.hpp>

#if defined(__AVX512BF16__)
#include <immintrin.h>

namespace ql::cpu::simd {

struct bf16_dot {
  using B = bodies<bf16, avx512>;
  using O = B::O;
  static constexpr int tile = 12;  // x 2 vectors of accumulators

  static std::int64_t packed_rows_bytes(std::int64_t rows, std::int64_t k) {
    return round_up(rows, tile) * padded_k<bf16>(k) * static_cast<std::int64_t>(sizeof(bf16));
  }
  // [row tile][pair of k][tile], a pair in 32 bits
  template <class E>
  static void pack_rows_of(row_set<E> src, std::int64_t rows, std::int64_t k, float* dst) {
    const auto kp = padded_k<bf16>(k);
    for (std::int64_t r0 = 0; r0 < rows; r0 += tile, dst += tile * kp / 2) {
      const int n = static_cast<int>(rows - r0 < tile ? rows - r0 : tile);
      for (std::int64_t kk = 0; kk < kp; kk += 2 * lanes) {
        O::vector pairs[lanes];
        for (int i = 0; i < lanes; ++i) {
          alignas(64) bf16 x[2 * lanes] = {};
          if (i < n) {
            const E* row = src.row(r0 + i);
            if (src.step == 1) {
              for (int h = 0; h < 2; ++h)
                O::store(x + h * lanes, O::load_n(row + kk + h * lanes, static_cast<int>(k - kk) - h * lanes));
            } else {
              for (int j = 0; j < 2 * lanes && kk + j < k; ++j) x[j] = bf16(B::to_acc(row[(kk + j) * src.step]));
            }
          }
          pairs[i] = _mm512_castsi512_ps(_mm512_load_si512(x));
        }
        O::store_transposed<tile>(pairs, dst + kk / 2 * tile, lanes);
      }
    }
  }
  static void pack_rows(row_set<bf16> src, std::int64_t rows, std::int64_t k, void* dst) {
    pack_rows_of(src, rows, k, static_cast<float*>(dst));
  }
  static void pack_rows_rounded(row_set<float> src, std::int64_t rows, std::int64_t k, void* dst) {
    pack_rows_of(src, rows, k, static_cast<float*>(dst));
  }

  static QL_INLINE __m512bh bits(__m512i x) {
#if defined(__clang__) && __clang_major__ < 17
    asm("" : "+v"(x));  // on the bare cast the optimiser of clang 16 recurses until it dies
#endif
    return reinterpret_cast<__m512bh>(x);
  }
  template <int R>
  static void chains(const float* a, const bf16* w, std::int64_t ws, std::int64_t kp, float* total) {
    __m512 acc[R][2];
#pragma GCC unroll 12
    for (int i = 0; i < R; ++i)
      for (int h = 0; h < 2; ++h) acc[i][h] = O::load(total + i * panel_columns + h * lanes);
    for (std::int64_t kk = 0; kk < kp; kk += 2, w += ws, a += tile) {
      const __m512bh w0 = bits(_mm512_loadu_si512(w)), w1 = bits(_mm512_loadu_si512(w + 2 * lanes));
#pragma GCC unroll 12
      for (int i = 0; i < R; ++i) {
        const __m512bh x = bits(_mm512_castps_si512(_mm512_set1_ps(a[i])));
        acc[i][0] = _mm512_dpbf16_ps(acc[i][0], x, w0);
        acc[i][1] = _mm512_dpbf16_ps(acc[i][1], x, w1);
      }
    }
#pragma GCC unroll 12
    for (int i = 0; i < R; ++i)
      for (int h = 0; h < 2; ++h) O::store(total + i * panel_columns + h * lanes, acc[i][h]);
  }
  static void product(const product_args<bf16>& p) {
    using chain = void (*)(const float*, const bf16*, std::int64_t, std::int64_t, float*);
    static constexpr chain of[tile] = {chains<1>, chains<2>, chains<3>, chains<4>,  chains<5>,  chains<6>,
                                       chains<7>, chains<8>, chains<9>, chains<10>, chains<11>, chains<12>};
    const auto kp = padded_k<bf16>(p.k);
    const float* a = static_cast<const float*>(p.a);
    alignas(64) float total[tile * panel_columns];
    for (std::int64_t r0 = 0; r0 < p.rows; r0 += tile, a += tile * kp / 2) {
      const int n = static_cast<int>(p.rows - r0 < tile ? p.rows - r0 : tile);
      for (int i = 0; i < n; ++i)
        for (int h = 0; h < 2; ++h)
          O::store(total + i * panel_columns + h * lanes,
                   p.what == epilogue::chain
                       ? O::load_n(p.c + (r0 + i) * p.ldc + h * lanes, static_cast<int>(p.columns) - h * lanes)
                       : O::zero());
      of[n - 1](a, p.panel, p.panel_stride, kp, total);
      for (int i = 0; i < n; ++i) B::finish(p, r0 + i, total + i * panel_columns);
    }
  }

  static constexpr kernel_table<bf16> install(kernel_table<bf16> t) {
    t.name = "avx512-bf16";
    t.packed_rows_bytes = packed_rows_bytes;
    t.pack_rows = pack_rows;
    t.pack_rows_rounded = pack_rows_rounded;
    t.product = product;
    return t;
  }
};

}  // namespace ql::cpu::simd
#endif
