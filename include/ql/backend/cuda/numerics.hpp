// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/tensor/numerics.hpp>

#include <cstdint>

// The constants that decide the bits of the device's kernels, beside those of ql/tensor/numerics.hpp (docs/cuda.md).
// No kernel chooses another order for few rows: decoding pads its rows to the tile of training.
namespace ql::cuda {

inline constexpr int warp_lanes = 32;
inline constexpr int block_threads = 128;  // of every kernel
inline constexpr int block_warps = block_threads / warp_lanes;
inline constexpr int tile_rows = 64;  // rows, and columns, of a product tile
inline constexpr int tile_columns = 64;
inline constexpr int tile_depth = 32;             // k staged at a time: product_step
inline constexpr std::int64_t split_blocks = 32;  // key blocks of an attention split: 2048 path positions
static_assert(product_block % tile_depth == 0 && tile_depth == product_step && key_block == tile_columns);

}  // namespace ql::cuda
