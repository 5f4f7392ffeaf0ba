// SPDX-License-Identifier: Apache-2.0
#pragma once

// Pointwise policy losses on the device: any function object of ql/rl/token_term.hpp without sums over a sequence.

#include <ql/backend/cuda/body/rows.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/token_term.hpp>

#include <cstdint>
#include <limits>

namespace ql::cuda {

// Token i: its value, and its derivatives times its weight (what the aggregation gives a token of its sequence; 0: left
// out, whatever its inputs hold). Inputs that the loss does not read may be null: it sees NaN.
template <class Loss>
  requires(rl::sums_of<Loss> == 0)
struct loss_element {
  Loss loss;
  const float *logp, *old, *rollout, *ref, *entropy, *advantage;
  const float* weight;
  float *value, *dlogp, *dentropy;  // dentropy may be null
  template <rl::input Which>
  QL_DEVICE static float read(const float* from, std::int64_t i) {
    if constexpr (rl::has(Loss::reads, Which)) {
      return from[i];
    } else {
      return std::numeric_limits<float>::quiet_NaN();
    }
  }
  QL_DEVICE void operator()(std::int64_t i) const {
    using rl::input;
    const float w = weight[i];
    const auto r = loss(rl::token_term<float>{read<input::logp>(logp, i), read<input::old>(old, i),
                                              read<input::rollout>(rollout, i), read<input::ref>(ref, i),
                                              read<input::entropy>(entropy, i), read<input::advantage>(advantage, i)});
    value[i] = w == 0 ? 0.0f : r.value;
    dlogp[i] = w == 0 ? 0.0f : r.dlogp * w;
    if (dentropy != nullptr) dentropy[i] = w == 0 ? 0.0f : r.dentropy * w;
  }
};

}  // namespace ql::cuda
