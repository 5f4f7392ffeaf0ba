// SPDX-License-Identifier: Apache-2.0
#pragma once

// A 64 x 64 tile of products, spread over the registers of a block: float by fma, bf16 by the matrix unit.

#include <ql/backend/cuda/mma.hpp>
#include <ql/backend/cuda/numerics.hpp>
#include <ql/config.hpp>
#include <ql/math.hpp>
#include <ql/scalar.hpp>

#include <concepts>
#include <cstdint>

namespace ql::cuda {

// Each thread's 32 elements of a tile. element(e) of thread t stands at (row(t, e), column(t, e)).
struct tile_part {
  static constexpr int elements = tile_rows * tile_columns / block_threads;
  float x[elements];
};

// Several tiles side by side.
template <int N>
struct tile_parts {
  tile_part of[N];
  QL_DEVICE tile_part& operator[](int i) { return of[i]; }
};

template <class T>
struct tile_map;
// fma: four rows, and columns eight apart
template <>
struct tile_map<float> {
  static QL_HD constexpr int row(int t, int e) { return t / 8 * 4 + e / 8; }
  static QL_HD constexpr int column(int t, int e) { return e % 8 * 8 + t % 8; }
};
// a warp owns sixteen rows: eight fragments of eight columns
template <>
struct tile_map<bf16> {
  static QL_HD constexpr int row(int t, int e) {
    return t / warp_lanes * 16 + mma_layout::c_row(t % warp_lanes, e % 4);
  }
  static QL_HD constexpr int column(int t, int e) { return e / 4 * 8 + mma_layout::c_column(t % warp_lanes, e % 4); }
};

// f(element, row, column, value&) for each of a thread's elements
template <class T, class F>
QL_DEVICE void for_elements(int t, tile_part& part, F&& f) {
  QL_UNROLL
  for (int e = 0; e < tile_part::elements; ++e) f(tile_map<T>::row(t, e), tile_map<T>::column(t, e), part.x[e]);
}
template <class Block, class R>
QL_DEVICE void clear_tile(Block& b, R& part) {
  b.each([&](int t) {
    QL_UNROLL
    for (int e = 0; e < tile_part::elements; ++e) part[t].x[e] = 0;
  });
}

// A matrix in shared memory: (row, k) at row * stride + k, or, with `Across`, at k * stride + row.
template <class S, bool Across>
struct operand {
  S& memory;
  std::int64_t stride;
  QL_DEVICE std::int64_t at(std::int64_t row, std::int64_t k) const {
    return Across ? k * stride + row : row * stride + k;
  }
  // (row, k) and (row, k + 1), k even
  QL_DEVICE std::uint32_t pair(std::int64_t row, std::int64_t k) const {
    if constexpr (Across) {
      return static_cast<std::uint32_t>(memory.get(at(row, k)).bits) |
             static_cast<std::uint32_t>(memory.get(at(row, k + 1)).bits) << 16;
    } else {
      return memory.pair(at(row, k));
    }
  }
};
template <bool Across, class S>
QL_DEVICE operand<S, Across> as_operand(S& memory, std::int64_t stride) {
  return {memory, stride};
}
// Elements from one row of a staged matrix to the next: even for pairs, and rows fall on different banks.
template <class T>
QL_HD constexpr std::int64_t staged_stride(std::int64_t columns) {
  return columns + (sizeof(T) == 2 ? 8 : 1);
}

// part += a b^T over k in [0, depth), ascending: one chain of fma (float), or one matrix step every 16 k (bf16).
template <class T, class Block, class R, class Left, class Right>
QL_DEVICE void multiply(Block& b, R& part, const Left& left, std::int64_t left_row, const Right& right,
                        std::int64_t right_row, int depth) {
  if constexpr (std::same_as<T, float>) {
    b.each([&](int t) {
      const std::int64_t r0 = left_row + t / 8 * 4, c0 = right_row + t % 8;
      for (int k = 0; k < depth; ++k) {
        float y[8];
        QL_UNROLL
        for (int j = 0; j < 8; ++j) y[j] = right.memory.get(right.at(c0 + j * 8, k));
        QL_UNROLL
        for (int i = 0; i < 4; ++i) {
          const float x = left.memory.get(left.at(r0 + i, k));
          QL_UNROLL
          for (int j = 0; j < 8; ++j) part[t].x[i * 8 + j] = math::fma(x, y[j], part[t].x[i * 8 + j]);
        }
      }
    });
  } else {
    typename Block::template registers<fragment_a> fa(b);
    typename Block::template registers<fragment_b> fb(b);
    for (int k0 = 0; k0 < depth; k0 += 16) {
      b.each([&](int t) {
        const int lane = t % warp_lanes;
        QL_UNROLL
        for (int i = 0; i < 4; ++i)
          fa[t].x[i] = left.pair(left_row + t / warp_lanes * 16 + mma_layout::a_row(lane, 2 * i),
                                 k0 + mma_layout::a_k(lane, 2 * i));
      });
      QL_UNROLL
      for (int n = 0; n < tile_columns / 8; ++n) {
        b.each([&](int t) {
          const int lane = t % warp_lanes;
          QL_UNROLL
          for (int i = 0; i < 2; ++i)
            fb[t].x[i] =
                right.pair(right_row + n * 8 + mma_layout::b_column(lane, 2 * i), k0 + mma_layout::b_k(lane, 2 * i));
        });
        b.mma(part, n * 4, fa, fb);
      }
    }
  }
}

// T of a value that is stored as T or as float.
template <class T, class E>
QL_HD QL_INLINE constexpr T rounded(E x) {
  if constexpr (std::same_as<T, E>) {
    return x;
  } else {
    return T(x);
  }
}
template <class E>
QL_HD QL_INLINE constexpr float widened(E x) {
  return static_cast<float>(x);
}

}  // namespace ql::cuda
