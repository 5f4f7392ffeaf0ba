// SPDX-License-Identifier: Apache-2.0
#pragma once

// Log-softmax, gather, entropy and their backward over columns of logits that a product wrote.

#include <ql/backend/cuda/body/rows.hpp>
#include <ql/math.hpp>
#include <ql/tensor/operations.hpp>

#include <cstdint>
#include <limits>

namespace ql::cuda {

inline constexpr std::int64_t logit_columns = 16 * vocab_block;  // of logits that exist at a time
inline constexpr std::int64_t logit_rows = 1024;
static_assert(logit_columns % vocab_block == 0 && logit_rows % product_block == 0);

// A row's {max, sum, weighted} before it has seen anything.
struct start_row_element {
  logit_row<float>* rows;
  QL_DEVICE void operator()(std::int64_t i) const { rows[i] = {-std::numeric_limits<float>::infinity(), 0, 0, 0, 0}; }
};

// Folds columns of z into each row's state, `block` at a time in ascending order; docs/numerics.md, section 7.
struct log_sum_exp_body {
  struct arguments {
    float* z;
    std::int64_t ldz;
    std::int64_t rows, columns;
    const std::int64_t* first;  // or null: row r's columns are z[first[r], first[r + 1])
    std::int64_t block;         // 0: all of a row
    float inverse_temperature;
    bool store;  // z = z / temperature
    logit_row<float>* state;
  };
  static constexpr launch_shape shape(const arguments& a) { return shape_of_rows(a.rows); }
  // Where a row's columns are.
  struct span_of_row {
    float* z;
    std::int64_t columns;
  };
  QL_DEVICE static span_of_row columns_of(const arguments& a, std::int64_t row) {
    if (row >= a.rows) return {a.z, 0};
    if (a.first == nullptr) return {a.z + row * a.ldz, a.columns};
    return {a.z + a.first[row], a.first[row + 1] - a.first[row]};
  }
  template <class Block>
  QL_DEVICE static void run(Block& b, const arguments& a) {
    typename Block::template registers<logit_row<float>> state(b);
    typename Block::template registers<float> top(b), sum(b), weighted(b);
    // the warps of a block take as many turns as its longest row needs
    std::int64_t longest = 0;
    for (std::int64_t r = b.index() * block_warps; r < (b.index() + 1) * block_warps; ++r) {
      const auto n = columns_of(a, r).columns;
      longest = n > longest ? n : longest;
    }
    const std::int64_t block = a.block > 0 ? a.block : longest;
    b.each([&](int t) {
      const auto row = row_of(b.index(), t).row;
      if (row < a.rows) state[t] = a.state[row];
    });
    for (std::int64_t c0 = 0; c0 < longest; c0 += block) {
      b.each([&](int t) {
        const auto [row, lane] = row_of(b.index(), t);
        const auto [z, columns] = columns_of(a, row);
        top[t] = -std::numeric_limits<float>::infinity();
        for (std::int64_t c = c0 + lane; c < c0 + block && c < columns; c += warp_lanes)
          top[t] = math::max(top[t], z[c] * a.inverse_temperature);
      });
      b.warp_max(top);
      b.each([&](int t) {
        const auto [row, lane] = row_of(b.index(), t);
        const auto [z, columns] = columns_of(a, row);
        sum[t] = weighted[t] = 0;
        if (c0 >= columns) return;
        top[t] = math::max(state[t].max, top[t]);
        for (std::int64_t c = c0 + lane; c < c0 + block && c < columns; c += warp_lanes) {
          const float x = z[c] * a.inverse_temperature, e = math::exp(x - top[t]);
          sum[t] = sum[t] + e;
          weighted[t] = math::fma(e, x, weighted[t]);
          if (a.store) z[c] = x;
        }
      });
      b.warp_sum(sum);
      b.warp_sum(weighted);
      b.each([&](int t) {
        if (c0 >= columns_of(a, row_of(b.index(), t).row).columns) return;
        auto& s = state[t];
        const float f = math::exp(s.max - top[t]);
        s.sum = math::fma(s.sum, f, sum[t]);
        s.weighted = math::fma(s.weighted, f, weighted[t]);
        s.max = top[t];
      });
    }
    b.each([&](int t) {
      const auto [row, lane] = row_of(b.index(), t);
      if (row < a.rows && lane == 0) a.state[row] = state[t];
    });
  }
};

// The target's logit, where it is among columns [first, first + columns).
struct pick_target_element {
  const float* z;
  std::int64_t ldz, first, columns;
  float inverse_temperature;
  const std::int32_t* targets;
  float* logit;
  QL_DEVICE void operator()(std::int64_t r) const {
    const std::int64_t c = targets[r] - first;
    if (c >= 0 && c < columns) logit[r] = z[r * ldz + c] * inverse_temperature;
  }
};
// The same for the entries of frozen supports, whose rows are given.
struct pick_support_element {
  const float* z;
  std::int64_t ldz, first, columns;
  float inverse_temperature;
  const std::int32_t* ids;
  const std::int32_t* rows;
  float* logit;
  QL_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t c = ids[i] - first;
    if (c >= 0 && c < columns) logit[i] = z[rows[i] * ldz + c] * inverse_temperature;
  }
};
// lse and entropy of a state; with targets' logits also their log-probs. Rows with a support are those of `kept`.
struct finish_rows_element {
  logit_row<float>* state;
  const logit_row<float>* kept;  // or null
  const std::int64_t* first;
  float* logp;  // in: the target's logit; or null
  QL_DEVICE void operator()(std::int64_t r) const {
    auto s = kept != nullptr && first[r + 1] > first[r] ? kept[r] : state[r];
    s.lse = s.max + math::log(s.sum);
    s.entropy = s.lse - s.weighted / s.sum;
    state[r] = s;
    if (logp != nullptr) logp[r] = logp[r] - s.lse;
  }
};
// Sums of exp(z - max) over 16 entries: entries i and i + 8, then + 4, + 2, + 1.
struct exp_sums_element {
  const float* z;
  std::int64_t ldz, columns, pieces;
  const logit_row<float>* state;
  float* sums;
  std::int64_t lds;
  template <int Half>
  QL_DEVICE static void add_halves(float (&lane)[16]) {
    QL_UNROLL
    for (int j = 0; j < Half; ++j) lane[j] = lane[j] + lane[j + Half];
  }
  QL_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t r = i / pieces, piece = i % pieces;
    const float max = state[r].max;
    float lane[16];
    QL_UNROLL
    for (int j = 0; j < 16; ++j) {
      const std::int64_t c = piece * 16 + j;
      lane[j] = c < columns ? math::exp(z[r * ldz + c] - max) : 0.0f;
    }
    add_halves<8>(lane);
    add_halves<4>(lane);
    add_halves<2>(lane);
    add_halves<1>(lane);
    sums[r * lds + piece] = lane[0];
  }
};

// d loss / d logit of one entry: (-p) fma(dH, (x - lse) + H, dlogp) / temperature
struct logit_gradient {
  float inverse_temperature;
  const float *lse, *entropy, *dlogp, *dentropy;  // by row; dentropy or null
  QL_DEVICE float operator()(std::int64_t row, float z) const {
    const float logp = z * inverse_temperature - lse[row];
    const float g = math::fma(dentropy == nullptr ? 0.0f : dentropy[row], logp + entropy[row], dlogp[row]);
    return -math::exp(logp) * g * inverse_temperature;
  }
};
// z -> its gradient, in place; rows with a support get zeros.
struct logits_dx_element {
  float* z;
  std::int64_t ldz, first, columns;
  const std::int32_t* targets;
  const std::int64_t* support_first;  // or null
  logit_gradient gradient;
  QL_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t r = i / columns, c = i % columns;
    float& x = z[r * ldz + c];
    if (support_first != nullptr && support_first[r + 1] > support_first[r]) {
      x = 0;
    } else {
      x = gradient(r, x);
      if (targets[r] - first == c) x = math::fma(gradient.dlogp[r], gradient.inverse_temperature, x);
    }
  }
};
// The entries of supports: their gradients from z, and back into z when its rows are zeros.
struct support_dx_element {
  float* z;
  std::int64_t ldz, first, columns;
  const std::int32_t* ids;
  const std::int32_t* rows;
  const std::int32_t* targets;
  float* kept;
  bool back;
  logit_gradient gradient;
  QL_DEVICE void operator()(std::int64_t i) const {
    const std::int64_t r = rows[i], c = ids[i] - first;
    if (c < 0 || c >= columns) return;
    float& x = z[r * ldz + c];
    if (back) {
      x = kept[i];
    } else {
      kept[i] = gradient(r, x);
      if (targets[r] == ids[i]) kept[i] = math::fma(gradient.dlogp[r], gradient.inverse_temperature, kept[i]);
    }
  }
};

}  // namespace ql::cuda
