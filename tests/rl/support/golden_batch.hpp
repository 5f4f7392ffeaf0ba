// SPDX-License-Identifier: Apache-2.0
#pragma once

// The small batch that the golden numbers of the algorithms are stated for: 8 sequences in two groups of 4, 23 tokens.

#include <ql/rl/apply_loss.hpp>

#include <cstdint>
#include <vector>

namespace ql::test {

template <class T = double>
struct golden_batch {
  std::vector<std::int64_t> lengths{4, 3, 2, 4, 1, 2, 4, 3}, offsets{0}, prompts{0, 4, 8};
  std::vector<T> reward{1, 0, 0, 1, 0, 0, 0, 1};
  std::vector<T> logp, old, ref, rollout, values, entropy, dlogp, dentropy, advantage;

  golden_batch() {
    for (int i = 0; i < 8; ++i) {
      for (int t = 0; t < lengths[static_cast<std::size_t>(i)]; ++t) {
        const double o = -0.5 - 0.1 * ((3 * i + 2 * t) % 7);
        old.push_back(static_cast<T>(o));
        logp.push_back(static_cast<T>(o + 0.1 * (((5 * i + 3 * t) % 9) - 4)));
        ref.push_back(static_cast<T>(o + 0.02 * (((2 * i + t) % 5) - 2)));
        rollout.push_back(static_cast<T>(o + 0.03 * (((i + 2 * t) % 5) - 2)));
        values.push_back(static_cast<T>(0.1 * ((i + t) % 4)));
        entropy.push_back(static_cast<T>(0.05 * ((2 * i + 3 * t) % 11)));
      }
      offsets.push_back(static_cast<std::int64_t>(logp.size()));
    }
    dlogp.resize(logp.size());
    dentropy.resize(logp.size());
  }
  ql::rl::token_batch<T> batch() const {
    ql::rl::token_batch<T> b;
    b.offsets = offsets;
    b.prompts = prompts;
    b.logp = logp;
    b.old = old;
    b.ref = ref;
    b.rollout = rollout;
    b.entropy = entropy;
    if (advantage.size() == 8) {
      b.sequence_advantage = advantage;
    } else {
      b.advantage = advantage;
    }
    return b;
  }
  ql::rl::loss_gradient<T> gradient() { return {dlogp, dentropy}; }
};

}  // namespace ql::test
