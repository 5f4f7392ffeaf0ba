// SPDX-License-Identifier: Apache-2.0
#pragma once

// Drawing of tokens by inversion, step by step as ql::rl::stochastic does it: the same bits, the same token.

#include <ql/backend/cuda/body/rows.hpp>
#include <ql/math.hpp>
#include <ql/tensor/operations.hpp>

#include <cstdint>

namespace ql::cuda {

// From the whole vocabulary: blocks of 16 in order, then the entries of one.
struct draw_element {
  const float* z;
  std::int64_t ldz, columns, pieces;
  const logit_row<float>* state;
  const float* sums;
  std::int64_t lds;
  const double* uniform;
  drawn_row<float>* drawn;
  QL_DEVICE void operator()(std::int64_t r) const {
    const float* weight = sums + r * lds;
    double total = 0;
    for (std::int64_t i = 0; i < pieces; ++i) total = total + static_cast<double>(weight[i]);
    const double target = uniform[r] * total;
    double cumulative = 0;
    std::int64_t piece = 0, last = 0;  // the last block with any probability takes what rounding leaves over
    for (; piece < pieces; ++piece) {
      if (weight[piece] > 0) last = piece;
      if (target < cumulative + static_cast<double>(weight[piece])) break;
      cumulative = cumulative + static_cast<double>(weight[piece]);
    }
    if (piece == pieces) piece = last;
    std::int64_t chosen = piece * 16;
    for (std::int64_t c = piece * 16; c < piece * 16 + 16 && c < columns; ++c) {
      const auto mass = static_cast<double>(math::exp(z[r * ldz + c] - state[r].max));
      if (mass > 0) chosen = c;
      cumulative = cumulative + mass;
      if (mass > 0 && target < cumulative) break;
    }
    drawn[r] = {static_cast<token>(chosen), 0, z[r * ldz + chosen], 1.0};
  }
};

// From what top-k, then top-p and min-p leave of a row that is sorted in descending order.
struct draw_sorted_element {
  const float* z;  // sorted
  const std::int32_t* ids;
  std::int64_t columns;
  const logit_row<float>* state;
  const double* uniform;
  std::int64_t top_k;  // 0: all
  double top_p, min_p;
  drawn_row<float>* drawn;
  QL_DEVICE double probability(std::int64_t r, std::int64_t i) const {
    return static_cast<double>(math::exp(z[r * columns + i] - state[r].max)) / static_cast<double>(state[r].sum);
  }
  QL_DEVICE void operator()(std::int64_t r) const {
    const std::int64_t limit = top_k > 0 && top_k < columns ? top_k : columns;
    double top_k_mass = 1.0;
    if (limit < columns) {
      top_k_mass = 0;
      for (std::int64_t i = 0; i < limit; ++i) top_k_mass = top_k_mass + probability(r, i);
    }
    double mass = 0, top = 0;
    std::int64_t kept = 0;
    for (; kept < limit; ++kept) {
      const double p = probability(r, kept);
      if (kept == 0) top = p;
      if (kept > 0 && (mass >= top_p * top_k_mass || p < min_p * top)) break;
      mass = mass + p;
    }
    const double target = uniform[r] * mass;
    double cumulative = 0;
    std::int64_t chosen = kept - 1;
    for (std::int64_t i = 0; i < kept; ++i) {
      cumulative = cumulative + probability(r, i);
      if (target < cumulative) {
        chosen = i;
        break;
      }
    }
    drawn[r] = {ids[r * columns + chosen], static_cast<std::int32_t>(kept), z[r * columns + chosen], mass};
  }
};

}  // namespace ql::cuda
