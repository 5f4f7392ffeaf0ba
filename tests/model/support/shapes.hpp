// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/model/config.hpp>

#include <array>

namespace ql::test {

// Tiny decoders of each family's shape. Widths are not multiples of any block.
inline model::decoder_config qwen2(std::int64_t vocabulary, std::int64_t hidden = 32, std::int64_t layers = 2) {
  return {.vocabulary = vocabulary,
          .hidden = hidden,
          .layers = layers,
          .heads = 4,
          .kv_heads = 2,
          .ffn = 2 * hidden - 8,
          .qkv_bias = true,
          .tied_head = true,
          .rope = {}};
}
inline model::decoder_config qwen3(std::int64_t vocabulary, std::int64_t hidden = 32, std::int64_t layers = 2) {
  return {.vocabulary = vocabulary,
          .hidden = hidden,
          .layers = layers,
          .heads = 6,
          .kv_heads = 2,
          .head_dim = 10,
          .ffn = 2 * hidden + 6,
          .qk_norm = true,
          .tied_head = true,
          .rope = {}};
}
inline model::decoder_config llama(std::int64_t vocabulary, std::int64_t hidden = 32, std::int64_t layers = 2) {
  return {.vocabulary = vocabulary,
          .hidden = hidden,
          .layers = layers,
          .heads = 2,
          .kv_heads = 2,
          .ffn = 3 * hidden,
          .norm_eps = 1e-5,
          .rope = {}};
}

}  // namespace ql::test
