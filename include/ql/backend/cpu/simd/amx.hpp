// SPDX-License-Identifier: Apache-2.0
#pragma once

// bf16 products on matrix tiles of 16 rows x 16 columns x 32 k. Written over a Tiles policy: the instructions, or a
// scalar model of them with which every machine tests the packing, the tile order and the tails.

#include <ql/backend/cpu/simd/kernels.hpp>

#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
#include <immintrin.h>
#endif

namespace ql::cpu::simd {

inline constexpr int tile_side = 16;                  // rows of A, columns of B
inline constexpr int tile_bytes = 64;                 // of a tile row: 32 bf16 or 16 float
inline constexpr int tile_elements = tile_side * 32;  // bf16 of an A tile

// What tdpbf16ps computes (Intel SDM): even and odd products chained apart from zero, their sum added to the
// accumulator; subnormals are zero. `flush` is the caller's environment.
struct model_tiles {
  float c[4][tile_side][tile_side];
  bf16 a[2][tile_side][32];
  bf16 b[2][tile_side][32];
  struct session {};
  void zero(int t) {
    for (auto& row : c[t])
      for (float& x : row) x = 0;
  }
  void load_c(int t, const float* p, std::int64_t stride) {
    for (int i = 0; i < tile_side; ++i)
      for (int j = 0; j < tile_side; ++j) c[t][i][j] = p[i * stride + j];
  }
  void store_c(int t, float* p, std::int64_t stride) {
    for (int i = 0; i < tile_side; ++i)
      for (int j = 0; j < tile_side; ++j) p[i * stride + j] = c[t][i][j];
  }
  void load_a(int t, const bf16* p, std::int64_t stride) { load(a[t], p, stride); }
  void load_b(int t, const bf16* p, std::int64_t stride) { load(b[t], p, stride); }
  void multiply(int tc, int ta, int tb) {
    for (int m = 0; m < tile_side; ++m)
      for (int n = 0; n < tile_side; ++n) {
        float even = 0, odd = 0;
        for (int k = 0; k < tile_side; ++k) {
          even = __builtin_fmaf(static_cast<float>(a[ta][m][2 * k]), static_cast<float>(b[tb][k][2 * n]), even);
          odd = __builtin_fmaf(static_cast<float>(a[ta][m][2 * k + 1]), static_cast<float>(b[tb][k][2 * n + 1]), odd);
        }
        const float pair = even + odd;
        c[tc][m][n] = c[tc][m][n] + pair;
      }
  }

 private:
  static void load(bf16 (&t)[tile_side][32], const bf16* p, std::int64_t stride) {
    for (int i = 0; i < tile_side; ++i)
      for (int j = 0; j < 32; ++j) t[i][j] = p[i * stride + j];
  }
};

#if defined(__AMX_TILE__) && defined(__AMX_BF16__)
// The instructions. Accumulators are tiles 0-3, A tiles 4-5, B tiles 6-7.
struct amx_tiles {
  struct alignas(64) configuration {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t bytes[16] = {};
    std::uint8_t rows[16] = {};
  };
  struct session {
    session() {
      configuration c;
      for (int t = 0; t < 8; ++t) c.bytes[t] = tile_bytes, c.rows[t] = tile_side;
      asm volatile("" ::: "memory");  // g++ 12 does not see that the next instruction reads c
      _tile_loadconfig(&c);
    }
    ~session() { _tile_release(); }
    session(const session&) = delete;
    session& operator=(const session&) = delete;
  };
  QL_INLINE void zero(int t) {
    switch (t) {
      case 0: _tile_zero(0); break;
      case 1: _tile_zero(1); break;
      case 2: _tile_zero(2); break;
      default: _tile_zero(3); break;
    }
  }
  QL_INLINE void load_c(int t, const float* p, std::int64_t stride) {
    asm volatile("" ::: "memory");  // nor that tile loads come after ordinary stores
    const auto s = static_cast<unsigned long>(stride * 4);
    switch (t) {
      case 0: _tile_loadd(0, p, s); break;
      case 1: _tile_loadd(1, p, s); break;
      case 2: _tile_loadd(2, p, s); break;
      default: _tile_loadd(3, p, s); break;
    }
  }
  QL_INLINE void store_c(int t, float* p, std::int64_t stride) {
    const auto s = static_cast<unsigned long>(stride * 4);
    switch (t) {
      case 0: _tile_stored(0, p, s); break;
      case 1: _tile_stored(1, p, s); break;
      case 2: _tile_stored(2, p, s); break;
      default: _tile_stored(3, p, s); break;
    }
    asm volatile("" ::: "memory");
  }
  QL_INLINE void load_a(int t, const bf16* p, std::int64_t stride) {
    const auto s = static_cast<unsigned long>(stride * 2);
    if (t == 0) {
      _tile_loadd(4, p, s);
    } else {
      _tile_loadd(5, p, s);
    }
  }
  QL_INLINE void load_b(int t, const bf16* p, std::int64_t stride) {
    const auto s = static_cast<unsigned long>(stride * 2);
    if (t == 0) {
      _tile_loadd(6, p, s);
    } else {
      _tile_loadd(7, p, s);
    }
  }
  QL_INLINE void multiply(int tc, int, int) {
    switch (tc) {
      case 0: _tile_dpbf16ps(0, 4, 6); break;
      case 1: _tile_dpbf16ps(1, 4, 7); break;
      case 2: _tile_dpbf16ps(2, 5, 6); break;
      default: _tile_dpbf16ps(3, 5, 7); break;
    }
  }
};
#endif

template <class Tiles>
struct tile_products {
  using B = bodies<bf16, avx512>;
  using O = B::O;
  static constexpr int block_rows = 2 * tile_side;

  // [32 rows][k / 32] pairs of A tiles: [block of 32 rows][k step][tile of 16 rows][16][32]
  static std::int64_t packed_rows_bytes(std::int64_t rows, std::int64_t k) {
    return round_up(rows, block_rows) * padded_k<bf16>(k) * static_cast<std::int64_t>(sizeof(bf16));
  }
  template <class E>
  static void pack_rows_of(row_set<E> src, std::int64_t rows, std::int64_t k, bf16* dst) {
    const auto steps = padded_k<bf16>(k) / product_step;
    for (std::int64_t r0 = 0; r0 < round_up(rows, block_rows); r0 += tile_side) {
      bf16* block = dst + r0 / block_rows * steps * 2 * tile_elements + r0 % block_rows / tile_side * tile_elements;
      for (int i = 0; i < tile_side; ++i) {
        const auto r = r0 + i;
        const E* row = r < rows ? src.row(r) : nullptr;
        for (std::int64_t s = 0; s < steps; ++s) {
          bf16* to = block + s * 2 * tile_elements + i * product_step;
          for (int h = 0; h < 2; ++h) {
            const auto kk = s * product_step + h * lanes;
            const int n = static_cast<int>(k - kk < lanes ? k - kk : lanes);
            if (row == nullptr || n <= 0) {
              O::store(to + h * lanes, O::zero());
            } else if (src.step == 1) {
              O::store(to + h * lanes, O::load_n(row + kk, n));
            } else {
              for (int j = 0; j < lanes; ++j)
                to[h * lanes + j] = j < n ? bf16(B::to_acc(row[(kk + j) * src.step])) : bf16();
            }
          }
        }
      }
    }
  }
  static void pack_rows(row_set<bf16> src, std::int64_t rows, std::int64_t k, void* dst) {
    pack_rows_of(src, rows, k, static_cast<bf16*>(dst));
  }
  static void pack_rows_rounded(row_set<float> src, std::int64_t rows, std::int64_t k, void* dst) {
    pack_rows_of(src, rows, k, static_cast<bf16*>(dst));
  }

  static void product(const product_args<bf16>& p) {
    [[maybe_unused]] typename Tiles::session scope;
    Tiles tiles;
    const auto steps = padded_k<bf16>(p.k) / product_step;
    const bf16* a = static_cast<const bf16*>(p.a);
    alignas(64) float total[block_rows * panel_columns];
    for (std::int64_t r0 = 0; r0 < p.rows; r0 += block_rows, a += steps * 2 * tile_elements) {
      const int n = static_cast<int>(p.rows - r0 < block_rows ? p.rows - r0 : block_rows);
      const bool lower = n > tile_side;  // rows 16-31 exist
      if (p.what == epilogue::chain) {
        for (int i = 0; i < block_rows; ++i)
          for (int h = 0; h < 2; ++h)
            O::store(total + i * panel_columns + h * lanes,
                     i < n ? O::load_n(p.c + (r0 + i) * p.ldc + h * lanes, static_cast<int>(p.columns) - h * lanes)
                           : O::zero());
        for (int t = 0; t < (lower ? 4 : 2); ++t)
          tiles.load_c(t, total + t / 2 * tile_side * panel_columns + t % 2 * tile_side, panel_columns);
      } else {
        for (int t = 0; t < 4; ++t) tiles.zero(t);
      }
      const bf16* w = p.panel;
      for (std::int64_t s = 0; s < steps; ++s, w += product_step / 2 * p.panel_stride) {
        tiles.load_b(0, w, p.panel_stride);
        tiles.load_b(1, w + 2 * tile_side, p.panel_stride);
        tiles.load_a(0, a + s * 2 * tile_elements, product_step);
        tiles.multiply(0, 0, 0);
        tiles.multiply(1, 0, 1);
        if (lower) {
          tiles.load_a(1, a + (s * 2 + 1) * tile_elements, product_step);
          tiles.multiply(2, 1, 0);
          tiles.multiply(3, 1, 1);
        }
      }
      for (int t = 0; t < (lower ? 4 : 2); ++t)
        tiles.store_c(t, total + t / 2 * tile_side * panel_columns + t % 2 * tile_side, panel_columns);
      for (int i = 0; i < n; ++i) B::finish(p, r0 + i, total + i * panel_columns);
    }
  }

  static constexpr kernel_table<bf16> install(kernel_table<bf16> t, const char* name) {
    t.name = name;
    t.packed_rows_bytes = packed_rows_bytes;
    t.pack_rows = pack_rows;
    t.pack_rows_rounded = pack_rows_rounded;
    t.product = product;
    return t;
  }
};

}  // namespace ql::cpu::simd
