// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/scalar.hpp>

#include <cstdint>

namespace ql {

// The constants of ql that decide bits. None may depend on a machine, a thread count or a batch; docs/numerics.md says
// where each one enters and why. Changing one changes every result: it goes with a new checkpoint version.
inline constexpr std::int64_t product_block = 256;   // k of one fma chain (float, double); rows of a gradient chain
inline constexpr std::int64_t product_step = 32;     // k of one matrix-unit step (bf16)
inline constexpr std::int64_t panel_columns = 32;    // columns of a weight panel
inline constexpr std::int64_t key_block = 64;        // keys of an online-softmax block, at multiples of path position
inline constexpr std::int64_t query_tile = 32;       // tokens of an attention tile, at multiples of path position
inline constexpr std::int64_t vocab_block = 512;     // vocabulary entries of one log-sum-exp block
inline constexpr std::int64_t norm_block = 1 << 16;  // elements of one partial sum of a gradient norm
static_assert(key_block % query_tile == 0 && vocab_block % product_block == 0);

constexpr std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

}  // namespace ql
