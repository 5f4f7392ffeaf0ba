// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a correction does to a whole batch: the mean of its weights, and which tokens it leaves.

#include <ql/error.hpp>
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/correction.hpp>
#include <ql/rl/rules.hpp>
#include <ql/tensor/view.hpp>

#include <cstdint>
#include <string_view>

namespace ql::rl {

// Sums of weights over loss tokens, and over sequences that have any (by the weight of their first loss token: the same
// for all of them where the correction has one weight a sequence). Add those of all micro-batches and ranks.
struct weight_mean {
  double over_tokens = 0, over_sequences = 0;
  std::int64_t tokens = 0, sequences = 0;

  constexpr weight_mean& operator+=(const weight_mean& o) {
    over_tokens += o.over_tokens, over_sequences += o.over_sequences;
    tokens += o.tokens, sequences += o.sequences;
    return *this;
  }
  constexpr double token_mean() const { return tokens == 0 ? 1.0 : over_tokens / static_cast<double>(tokens); }
  constexpr double sequence_mean() const {
    return sequences == 0 ? 1.0 : over_sequences / static_cast<double>(sequences);
  }
};

namespace detail {

// f(token, weight, first loss token of its sequence?) for each loss token of the batch.
template <class Correction, class T, class F>
void for_each_weight(const Correction& c, const token_batch<T>& b, F&& f) {
  constexpr std::string_view me = "correction";
  expects_valid(c);
  const std::int64_t n = b.offsets.empty() ? 0 : b.offsets[b.offsets.size() - 1];
  expects_offsets(me, "offsets", b.offsets, n);
  expects<shape_error>(b.mask.empty() || b.mask.size() == n, me, "mask", n, b.mask.size());
  expects_input<T>(me, "logp", b.logp, has(Correction::reads, input::logp), n);
  expects_input<T>(me, "old", b.old, has(Correction::reads, input::old), n);
  expects_input<T>(me, "rollout", b.rollout, has(Correction::reads, input::rollout), n);
  constexpr bool advantages = has(Correction::reads, input::advantage);
  if (advantages && b.sequence_advantage.empty()) {
    expects_input<T>(me, "advantage", b.advantage, true, n);
  } else {
    expects_input<T>(me, "sequence_advantage", b.sequence_advantage, advantages, b.sequences());
  }
  for (std::int64_t i = 0; i < b.sequences(); ++i) {
    const auto term = [&](std::int64_t t) {
      const auto at = [t](bool read, view<const T, 1> v) { return read ? v[t] : T(0); };
      const T a = !advantages ? T(0) : b.sequence_advantage.empty() ? b.advantage[t] : b.sequence_advantage[i];
      return token_term<T>{at(has(Correction::reads, input::logp), b.logp),
                           at(has(Correction::reads, input::old), b.old),
                           at(has(Correction::reads, input::rollout), b.rollout),
                           T(0),
                           T(0),
                           a};
    };
    sequence_term<Correction::sums> s;
    for (std::int64_t t = b.offsets[i]; t < b.offsets[i + 1]; ++t) {
      if (!b.mask.empty() && b.mask[t] == 0) continue;
      ++s.count;
      if constexpr (Correction::sums == 1) s.sum[0] += static_cast<double>(c.contribution(term(t)));
    }
    bool first = true;
    for (std::int64_t t = b.offsets[i]; t < b.offsets[i + 1]; ++t) {
      if (!b.mask.empty() && b.mask[t] == 0) continue;
      f(t, c.weight(term(t), s), first);
      first = false;
    }
  }
}

}  // namespace detail

// The sums for normalised{c, mean}: token_mean() for weights of tokens, sequence_mean() for weights of sequences.
template <class Correction, class T>
  requires correction<Correction, T>
weight_mean mean_weight(const Correction& c, const token_batch<T>& b) {
  weight_mean m;
  detail::for_each_weight(c, b, [&](std::int64_t, T w, bool first) {
    m.over_tokens += static_cast<double>(w);
    ++m.tokens;
    if (!first) return;
    m.over_sequences += static_cast<double>(w);
    ++m.sequences;
  });
  return m;
}

// out[t] = 1 for loss tokens whose weight is not 0. As the mask of the update it takes what is rejected out of the
// denominator too (verl); left out, rejected tokens count and have no gradient. Returns how many are kept.
template <class Correction, class T>
  requires correction<Correction, T>
std::int64_t kept_mask(const Correction& c, const token_batch<T>& b, view<std::uint8_t, 1> out) {
  const std::int64_t n = b.offsets.empty() ? 0 : b.offsets[b.offsets.size() - 1];
  detail::expects<shape_error>(out.size() == n, "kept_mask", "out", n, out.size());
  for (std::int64_t t = 0; t < n; ++t) out[t] = 0;
  std::int64_t kept = 0;
  detail::for_each_weight(c, b, [&](std::int64_t t, T w, bool) {
    out[t] = w != T(0) ? 1 : 0;
    kept += w != T(0) ? 1 : 0;
  });
  return kept;
}

}  // namespace ql::rl
