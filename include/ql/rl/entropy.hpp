// SPDX-License-Identifier: Apache-2.0
#pragma once

// Control of the policy's entropy: bonus, adaptive coefficient, clipping of negative gradients at uncertain tokens, and
// AEPO, which switches negative samples off and on. Entropies are in nats, of the whole distribution at a position.

#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/rl/loss_control.hpp>
#include <ql/rl/token_term.hpp>
#include <ql/tensor/view.hpp>

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ql::rl {

// loss - coefficient entropy.
template <class Loss>
struct entropy_bonus {
  Loss loss;
  double coefficient;

  static constexpr input reads = Loss::reads | input::entropy;
  static constexpr int sums = sums_of<Loss>;
  using required_aggregation = required_aggregation_t<Loss>;
  static constexpr bool sequence_constant_advantage = needs_sequence_advantage<Loss>;
  static constexpr bool exact_gradient = has_exact_gradient<Loss>;

  constexpr void validate(rule_book& b) const {
    if constexpr (checked<Loss>) loss.validate(b);
    b.require(math::isfinite(coefficient), "entropy_bonus.coefficient", coefficient, "finite", "use 0.001");
  }
  template <class T>
  QL_HD constexpr std::array<T, static_cast<std::size_t>(sums)> contribution(const token_term<T>& t) const {
    return contribution_of(loss, t);
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t, const sequence_term<sums>& s) const {
    const auto a = evaluate(loss, t, s);
    const T c = static_cast<T>(coefficient);
    return {math::fma(-c, t.entropy, a.value), a.dlogp, a.dentropy - c};
  }
  template <class T>
    requires(sums == 0)
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    return (*this)(t, sequence_term<0>{});
  }
  template <class T>
    requires(sums == 0)
  constexpr T detached(const token_term<T>& t, const token_term<T>& at) const {
    return math::fma(-static_cast<T>(coefficient), t.entropy, surrogate(loss, t, at));
  }
};
template <class Loss>
entropy_bonus(Loss, double) -> entropy_bonus<Loss>;

// The bonus's coefficient moves by `step` towards keeping the entropy at the target (Skywork-OR1, arXiv 2505.22312):
// up when entropy <= target, else down, within [lowest, highest]; it is applied only when entropy <= target.
struct adaptive_entropy {
  double target = 0.2, delta = 0.005, lowest = 0.0, highest = 1.0;
  struct state {
    double coefficient = 0.0;
    friend constexpr bool operator==(const state&, const state&) = default;
  };
  constexpr void validate(rule_book& b) const {
    b.require(target >= 0, "adaptive_entropy.target", target, "at least 0", "use 0.2");
    b.require(delta > 0, "adaptive_entropy.delta", delta, "above 0", "use 0.005");
    b.require(lowest <= highest, "adaptive_entropy.lowest", lowest, "at most highest", "use 0 and 1");
  }
  constexpr state observe(state s, double entropy) const {
    const double moved = entropy <= target ? s.coefficient + delta : s.coefficient - delta;
    return {math::clamp(moved, lowest, highest)};
  }
  constexpr double applied(state s, double entropy) const { return entropy <= target ? s.coefficient : 0.0; }
  template <class Loss>
  constexpr entropy_bonus<Loss> apply(const Loss& loss, state s, double entropy) const {
    return {loss, applied(s, entropy)};
  }
  constexpr bool learns_from(state, double) const { return true; }
};
static_assert(loss_control<adaptive_entropy>);

// No gradient from a token with A < 0 and entropy above the threshold: L1.5's negative-gradient clipping, token mode
// (arXiv 2512.12967 eq. 8-9). Such tokens stay in the denominator.
template <class Loss>
struct negative_clip_token {
  Loss loss;
  double threshold;  // not published

  static constexpr input reads = Loss::reads | input::entropy | input::advantage;
  static constexpr int sums = sums_of<Loss>;
  using required_aggregation = required_aggregation_t<Loss>;
  static constexpr bool sequence_constant_advantage = needs_sequence_advantage<Loss>;
  static constexpr bool exact_gradient = has_exact_gradient<Loss>;

  constexpr void validate(rule_book& b) const {
    if constexpr (checked<Loss>) loss.validate(b);
    b.require(threshold >= 0, "negative_clip_token.threshold", threshold, "at least 0", "an entropy in nats");
  }
  template <class T>
  QL_HD constexpr bool drops(const token_term<T>& t) const {
    return (t.advantage < T(0)) & (static_cast<double>(t.entropy) > threshold);
  }
  template <class T>
  QL_HD constexpr std::array<T, static_cast<std::size_t>(sums)> contribution(const token_term<T>& t) const {
    return contribution_of(loss, t);
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t, const sequence_term<sums>& s) const {
    return detail::unless(drops(t), evaluate(loss, t, s));
  }
  template <class T>
    requires(sums == 0)
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    return (*this)(t, sequence_term<0>{});
  }
  template <class T>
    requires(sums == 0)
  constexpr T detached(const token_term<T>& t, const token_term<T>& at) const {
    return drops(at) ? T(0) : surrogate(loss, t, at);
  }
};
template <class Loss>
negative_clip_token(Loss, double) -> negative_clip_token<Loss>;

// The same for a whole answer, by the mean entropy of its tokens (eq. 10).
template <class Loss>
struct negative_clip_sequence {
  Loss loss;
  double threshold;

  static constexpr input reads = Loss::reads | input::entropy | input::advantage;
  static constexpr int sums = sums_of<Loss> + 1;
  using required_aggregation = required_aggregation_t<Loss>;
  static constexpr bool sequence_constant_advantage = needs_sequence_advantage<Loss>;
  static constexpr bool exact_gradient = has_exact_gradient<Loss>;

  constexpr void validate(rule_book& b) const {
    if constexpr (checked<Loss>) loss.validate(b);
    b.require(threshold >= 0, "negative_clip_sequence.threshold", threshold, "at least 0", "an entropy in nats");
  }
  template <class T>
  QL_HD constexpr std::array<T, static_cast<std::size_t>(sums)> contribution(const token_term<T>& t) const {
    return detail::append<sums>(contribution_of(loss, t), t.entropy);
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t, const sequence_term<sums>& s) const {
    const bool drop = (t.advantage < T(0)) & (s.mean(sums - 1) > threshold);
    return detail::unless(drop, evaluate(loss, t, detail::first_sums<sums_of<Loss>>(s)));
  }
};
template <class Loss>
negative_clip_sequence(Loss, double) -> negative_clip_sequence<Loss>;

// No loss from samples with A < 0 while `masked`; they stay in the denominator. To take them out of it instead, drop
// them from the mask with positive_mask.
template <class Loss>
struct negatives_masked {
  Loss loss;
  bool masked;

  static constexpr input reads = Loss::reads | input::advantage;
  static constexpr int sums = sums_of<Loss>;
  using required_aggregation = required_aggregation_t<Loss>;
  static constexpr bool sequence_constant_advantage = needs_sequence_advantage<Loss>;
  static constexpr bool exact_gradient = has_exact_gradient<Loss>;

  constexpr void validate(rule_book& b) const {
    if constexpr (checked<Loss>) loss.validate(b);
  }
  template <class T>
  QL_HD constexpr std::array<T, static_cast<std::size_t>(sums)> contribution(const token_term<T>& t) const {
    return contribution_of(loss, t);
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t, const sequence_term<sums>& s) const {
    return detail::unless(masked & (t.advantage < T(0)), evaluate(loss, t, s));
  }
  template <class T>
    requires(sums == 0)
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    return (*this)(t, sequence_term<0>{});
  }
  template <class T>
    requires(sums == 0)
  constexpr T detached(const token_term<T>& t, const token_term<T>& at) const {
    return masked && t.advantage < T(0) ? T(0) : surrogate(loss, t, at);
  }
};
template <class Loss>
negatives_masked(Loss, bool) -> negatives_masked<Loss>;

// AEPO (arXiv 2512.12967 section 3.3) as the paper words it: mask negative samples once the batch entropy exceeds
// `high`, use them again once it is below `low`, keep the mode between. Starts with negatives in use (the paper does
// not say). The state belongs into the checkpoint.
struct aepo {
  double low, high;  // not published; the figure spans 0.10 to 0.30
  struct state {
    bool masked = false;
    friend constexpr bool operator==(const state&, const state&) = default;
  };
  constexpr void validate(rule_book& b) const {
    b.require(low >= 0, "aepo.low", low, "at least 0", "an entropy in nats");
    b.require(low < high, "aepo.high", high, "above low", "two thresholds make the hysteresis");
  }
  constexpr state observe(state s, double batch_entropy) const {
    if (batch_entropy > high) return {true};
    if (batch_entropy < low) return {false};
    return s;
  }
  template <class Loss>
  constexpr negatives_masked<Loss> apply(const Loss& loss, state s, double) const {
    return {loss, s.masked};
  }
  constexpr bool learns_from(state s, double advantage) const { return !s.masked || advantage > 0; }
};
static_assert(loss_control<aepo>);

// The rule of the released snippet instead: a sample is kept iff the entropy is outside (low, high), or its advantage
// and its total reward are both above 0. No state. (The snippet also cuts the kept set to a multiple of the number of
// workers; that is not part of the rule.)
struct aepo_released {
  double low, high;
  constexpr bool keeps(double batch_entropy, double advantage, double reward) const {
    return !(low < batch_entropy && batch_entropy < high) || (advantage > 0 && reward > 0);
  }
};

// Mean over sequences of the mean entropy of their loss tokens; sequences without any are left out.
template <class T>
double batch_entropy(view<const T, 1> entropy, view<const std::int64_t, 1> offsets,
                     view<const std::uint8_t, 1> mask = {}) {
  double total = 0;
  std::int64_t sequences = 0;
  for (std::int64_t i = 0; i + 1 < offsets.size(); ++i) {
    double sum = 0;
    std::int64_t n = 0;
    for (std::int64_t t = offsets[i]; t < offsets[i + 1]; ++t) {
      if (!mask.empty() && mask[t] == 0) continue;
      sum += static_cast<double>(entropy[t]);
      ++n;
    }
    if (n == 0) continue;
    total += sum / static_cast<double>(n);
    ++sequences;
  }
  return sequences == 0 ? 0.0 : total / static_cast<double>(sequences);
}

// out[t] = 1 for loss tokens with advantage above or at 0: the kept set of a masking update, to be used as its mask.
template <class T>
void positive_mask(view<const T, 1> advantage, view<const std::uint8_t, 1> mask, view<std::uint8_t, 1> out) {
  detail::expects<shape_error>(out.size() == advantage.size(), "positive_mask", "out", advantage.size(), out.size());
  for (std::int64_t t = 0; t < advantage.size(); ++t)
    out[t] = static_cast<std::uint8_t>((mask.empty() || mask[t] != 0) && !(advantage[t] < T(0)));
}

// out[t] = 1 for the loss tokens whose entropy is at or above the (1 - share) quantile (arXiv 2506.01939, share 0.2),
// the quantile interpolated linearly between order statistics, as torch.quantile does.
template <class T>
void top_entropy_mask(view<const T, 1> entropy, view<const std::uint8_t, 1> mask, double share,
                      view<std::uint8_t, 1> out) {
  detail::expects(share > 0 && share <= 1, "top_entropy_mask", "share", "in (0, 1]", share);
  detail::expects<shape_error>(out.size() == entropy.size(), "top_entropy_mask", "out", entropy.size(), out.size());
  detail::expects<shape_error>(mask.empty() || mask.size() == entropy.size(), "top_entropy_mask", "mask",
                               entropy.size(), mask.size());
  std::vector<double> sorted;
  for (std::int64_t t = 0; t < entropy.size(); ++t) {
    out[t] = 0;
    if (mask.empty() || mask[t] != 0) sorted.push_back(static_cast<double>(entropy[t]));
  }
  if (sorted.empty()) return;
  std::sort(sorted.begin(), sorted.end());
  const double at = (1.0 - share) * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = below + 1 < sorted.size() ? below + 1 : below;
  const double limit = math::fma(at - static_cast<double>(below), sorted[above] - sorted[below], sorted[below]);
  for (std::int64_t t = 0; t < entropy.size(); ++t)
    out[t] = static_cast<std::uint8_t>((mask.empty() || mask[t] != 0) && static_cast<double>(entropy[t]) >= limit);
}

}  // namespace ql::rl
