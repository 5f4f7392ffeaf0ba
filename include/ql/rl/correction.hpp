// SPDX-License-Identifier: Apache-2.0
#pragma once

// Correction for the difference between the policy that sampled (rollout) and the policy at the start of the update
// (old): q = old - rollout, w = exp(clamp(q, +-20)), all detached. `corrected` multiplies a loss with such a weight.
// Weight 0 takes a token's gradient away and leaves it in the denominator.

#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/token_term.hpp>
#include <ql/tensor/view.hpp>

#include <cstdint>

namespace ql::rl {

// A weight of a token, `c.weight(t, s)`, possibly from one sum over its sequence, `c.contribution(t)`.
template <class C, class T>
concept correction = std::copyable<C> && detail::declares_inputs<C> && (C::sums == 0 || C::sums == 1) &&
                     requires(const C& c, const token_term<T>& t, const sequence_term<C::sums>& s) {
                       { c.weight(t, s) } -> std::same_as<T>;
                     };

namespace detail {
template <class T>
QL_HD constexpr T bounded_exp(T q) {
  return math::exp(math::clamp(q, T(-20), T(20)));
}
QL_HD constexpr bool inside(double x, double low, double high) { return (x >= low) & (x <= high); }
constexpr void check_interval(rule_book& b, const char* low_key, double low, const char* high_key, double high) {
  b.require(low >= 0 && low <= 1, low_key, low, "in [0, 1]", "weights of an unchanged policy are 1");
  b.require(high >= 1, high_key, high, "at least 1", "weights of an unchanged policy are 1");
}
}  // namespace detail

// Weight 1: for policies whose recorded log-probs are exact.
struct no_correction {
  static constexpr input reads = input::none;
  static constexpr int sums = 0;
  template <class T>
  QL_HD constexpr T weight(const token_term<T>&, const sequence_term<0>&) const {
    return T(1);
  }
};
// An exact policy needs no correction; an inexact one must name one that is not no_correction.
template <class C, bool PolicyIsExact>
concept correction_for = PolicyIsExact || !std::same_as<C, no_correction>;

// clamp(w_t, floor, cap): truncated importance sampling per token (verl, slime: cap 2).
struct token_tis {
  ratio_cap cap{2.0};
  double floor = 0.0;
  static constexpr input reads = input::old | input::rollout;
  static constexpr int sums = 0;
  constexpr void validate(rule_book& b) const {
    b.require(floor >= 0 && floor <= 1, "token_tis.floor", floor, "in [0, 1]", "use 0");
  }
  template <class T>
  QL_HD constexpr T weight(const token_term<T>& t, const sequence_term<0>&) const {
    return math::clamp(detail::bounded_exp(t.old - t.rollout), static_cast<T>(floor), static_cast<T>(cap.value));
  }
};
// w_t inside [low, high], else 0: IcePop.
struct token_mask {
  double low = 0.5, high = 5.0;
  static constexpr input reads = input::old | input::rollout;
  static constexpr int sums = 0;
  constexpr void validate(rule_book& b) const {
    detail::check_interval(b, "token_mask.low", low, "token_mask.high", high);
  }
  template <class T>
  QL_HD constexpr T weight(const token_term<T>& t, const sequence_term<0>&) const {
    const T w = detail::bounded_exp(t.old - t.rollout);
    return math::keep_if(detail::inside(static_cast<double>(w), low, high), w);
  }
};
// min(exp(sum_t q), cap) on all tokens of the sequence (verl: cap 2).
struct sequence_tis {
  ratio_cap cap{2.0};
  static constexpr input reads = input::old | input::rollout;
  static constexpr int sums = 1;
  template <class T>
  QL_HD constexpr T contribution(const token_term<T>& t) const {
    return t.old - t.rollout;
  }
  template <class T>
  QL_HD constexpr T weight(const token_term<T>&, const sequence_term<1>& s) const {
    return math::min(static_cast<T>(cap.value), detail::bounded_exp(static_cast<T>(s.sum[0])));
  }
};
// exp(sum_t q) inside [low, high], else 0: MIS. TRL's default is {0, 3}.
struct sequence_mask {
  double low = 0.5, high = 2.0;
  static constexpr input reads = input::old | input::rollout;
  static constexpr int sums = 1;
  constexpr void validate(rule_book& b) const {
    detail::check_interval(b, "sequence_mask.low", low, "sequence_mask.high", high);
  }
  template <class T>
  QL_HD constexpr T contribution(const token_term<T>& t) const {
    return t.old - t.rollout;
  }
  template <class T>
  QL_HD constexpr T weight(const token_term<T>&, const sequence_term<1>& s) const {
    const double w = detail::bounded_exp(s.sum[0]);
    return math::keep_if(detail::inside(w, low, high), static_cast<T>(w));
  }
};
// Keeps a sequence iff exp(mean_t q) lies in [low, high]; token weights of kept sequences are w_t where raw_weights,
// else 1 (verl: 0.999-1.001; NeMo-RL: 0.999-1.002 with raw weights).
struct geometric_rejection {
  double low = 0.999, high = 1.001;
  bool raw_weights = false;
  static constexpr input reads = input::old | input::rollout;
  static constexpr int sums = 1;
  constexpr void validate(rule_book& b) const {
    detail::check_interval(b, "geometric_rejection.low", low, "geometric_rejection.high", high);
  }
  template <class T>
  QL_HD constexpr T contribution(const token_term<T>& t) const {
    return t.old - t.rollout;
  }
  template <class T>
  QL_HD constexpr T weight(const token_term<T>& t, const sequence_term<1>& s) const {
    const bool keep = detail::inside(detail::bounded_exp(s.mean(0)), low, high);
    return math::keep_if(keep, math::select(raw_weights, detail::bounded_exp(t.old - t.rollout), T(1)));
  }
};
// Drops a sequence with A < 0 whose tokens have become unlikely: mean_t (rollout - logp) > delta (DeepSeek-V3.2).
struct off_policy_sequence_mask {
  double delta = 0.5;
  static constexpr input reads = input::logp | input::rollout | input::advantage;
  static constexpr int sums = 1;
  constexpr void validate(rule_book& b) const {
    b.require(delta > 0, "off_policy_sequence_mask.delta", delta, "above 0", "use 0.5");
  }
  template <class T>
  QL_HD constexpr T contribution(const token_term<T>& t) const {
    return t.rollout - t.logp;
  }
  template <class T>
  QL_HD constexpr T weight(const token_term<T>& t, const sequence_term<1>& s) const {
    return math::keep_if(!((t.advantage < T(0)) & (s.mean(0) > delta)), T(1));
  }
};
// Rejects what has drifted further than the threshold by an estimate of the divergence from its log-ratio q: a token,
// or a sequence by the sum, mean or maximum over its tokens; what is kept has weight 1. verl's token_k2 to seq_max_k3.
enum class divergence { k2, k3 };  // q^2 / 2; e^q - 1 - q
enum class drift_of { token, sum, mean, maximum };
template <drift_of Over = drift_of::mean>
struct divergence_rejection {
  divergence by = divergence::k3;
  double threshold = 0.01;
  static constexpr input reads = input::old | input::rollout;
  static constexpr int sums = Over == drift_of::token ? 0 : 1;
  constexpr void validate(rule_book& b) const {
    b.require(threshold > 0, "divergence_rejection.threshold", threshold, "above 0", "use 0.01");
  }
  template <class T>
  QL_HD constexpr T estimate(const token_term<T>& t) const {
    const T q = math::clamp(t.old - t.rollout, T(-20), T(20));
    return by == divergence::k2 ? T(0.5) * q * q : (math::exp(q) - T(1)) - q;
  }
  template <class T>
  QL_HD constexpr T contribution(const token_term<T>& t) const
    requires(sums == 1)
  {
    const T d = estimate(t);  // of a maximum the tokens beyond the threshold are counted
    return Over != drift_of::maximum ? d : static_cast<double>(d) > threshold ? T(1) : T(0);
  }
  template <class T>
  QL_HD constexpr T weight(const token_term<T>& t, const sequence_term<sums>& s) const {
    bool gone = false;
    if constexpr (Over == drift_of::token) {
      gone = static_cast<double>(estimate(t)) > threshold;
    } else if constexpr (Over == drift_of::maximum) {
      gone = s.sum[0] > 0;
    } else {
      gone = (Over == drift_of::sum ? s.sum[0] : s.mean(0)) > threshold;
    }
    return math::keep_if(!gone, T(1));
  }
};
// Drops a sequence whose mean of exp|q| exceeds the threshold (NeMo-RL's seq_logprob_error_threshold).
struct sequence_error_mask {
  double threshold = 1.05;
  static constexpr input reads = input::old | input::rollout;
  static constexpr int sums = 1;
  constexpr void validate(rule_book& b) const {
    b.require(threshold > 1, "sequence_error_mask.threshold", threshold, "above 1, its value without any error",
              "use 1.05");
  }
  template <class T>
  QL_HD constexpr T contribution(const token_term<T>& t) const {
    return detail::bounded_exp(math::abs(t.old - t.rollout));
  }
  template <class T>
  QL_HD constexpr T weight(const token_term<T>&, const sequence_term<1>& s) const {
    return math::keep_if(!(s.mean(0) > threshold), T(1));
  }
};

// The inner weights over their mean in the update, so that they have mean 1 (verl's rollout_is_batch_normalize). The
// mean is taken before, by weight_mean of correction_batch.hpp, over all micro-batches and ranks.
template <class Correction>
struct normalised {
  Correction inner;
  double mean;
  static constexpr input reads = Correction::reads;
  static constexpr int sums = Correction::sums;
  constexpr void validate(rule_book& b) const {
    if constexpr (checked<Correction>) inner.validate(b);
    b.require(mean > 0 && math::isfinite(mean), "normalised.mean", mean, "above 0 and finite",
              "drop an update all of whose weights are 0");
  }
  template <class T>
  QL_HD constexpr T contribution(const token_term<T>& t) const
    requires(sums == 1)
  {
    return inner.contribution(t);
  }
  template <class T>
  QL_HD constexpr T weight(const token_term<T>& t, const sequence_term<sums>& s) const {
    return inner.weight(t, s) / static_cast<T>(mean);
  }
};
template <class Correction>
normalised(Correction, double) -> normalised<Correction>;

// weight * loss. KL and entropy terms belong outside: kl_penalized{corrected{clip{}, token_tis{}}, k3{}, 0.01}.
// With token_tis and old = the proximal policy this is decoupled PPO (arXiv 2505.24298).
template <class Loss, class Correction>
struct corrected {
  Loss loss;
  Correction by;

  static constexpr input reads = Loss::reads | Correction::reads;
  static constexpr int sums = sums_of<Loss> + Correction::sums;
  using required_aggregation = required_aggregation_t<Loss>;
  static constexpr bool sequence_constant_advantage = needs_sequence_advantage<Loss>;
  static constexpr bool exact_gradient = has_exact_gradient<Loss>;

  constexpr void validate(rule_book& b) const {
    if constexpr (checked<Loss>) loss.validate(b);
    if constexpr (checked<Correction>) by.validate(b);
  }
  template <class T>
  QL_HD constexpr std::array<T, static_cast<std::size_t>(sums)> contribution(const token_term<T>& t) const {
    if constexpr (Correction::sums == 1) {
      return detail::append<sums>(contribution_of(loss, t), by.contribution(t));
    } else {
      return contribution_of(loss, t);
    }
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t, const sequence_term<sums>& s) const {
    const auto a = evaluate(loss, t, detail::first_sums<sums_of<Loss>>(s));
    const T w = weight_of(t, s);
    // a rejected token is gone even if its loss overflowed
    return detail::unless(w == T(0), loss_and_grad<T>{w * a.value, w * a.dlogp, w * a.dentropy});
  }
  template <class T>
    requires(sums == 0)
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    return (*this)(t, sequence_term<0>{});
  }
  template <class T>
    requires(sums == 0)
  constexpr T detached(const token_term<T>& t, const token_term<T>& at) const {
    return weight_of(at, sequence_term<0>{}) * surrogate(loss, t, at);
  }

 private:
  template <class T>
  QL_HD constexpr T weight_of(const token_term<T>& t, const sequence_term<sums>& s) const {
    sequence_term<Correction::sums> own;
    if constexpr (Correction::sums == 1) own.sum[0] = s.sum[sums_of<Loss>];
    own.count = s.count;
    return by.weight(t, own);
  }
};
template <class Loss, class Correction>
corrected(Loss, Correction) -> corrected<Loss, Correction>;

// Always computed, over loss tokens: how far two log-probs of the same tokens under the same distribution are apart.
// All but ess_fraction (1) are 0 for an exact policy. An empty mask means all tokens.
struct mismatch_report {
  std::int64_t tokens = 0;
  double mean_abs = 0, max_abs = 0;
  double k3 = 0;               // mean of e^q - 1 - q
  double mult_prob_error = 0;  // mean of exp|q|, minus 1; alarm at 0.05
  double mean_weight = 1;      // mean of w = e^q
  double ess_fraction = 1;     // (sum w)^2 / (n sum w^2)
  double chi_squared = 0;      // mean of w^2, minus 1

  bool exact() const { return max_abs == 0; }
};

// Engine mismatch: `old` recomputed by the trainer against `rollout` recorded by the sampler.
template <class T>
mismatch_report engine_mismatch(view<const T, 1> old, view<const T, 1> rollout, view<const std::uint8_t, 1> mask = {}) {
  detail::expects<shape_error>(rollout.size() == old.size(), "engine_mismatch", "rollout", old.size(), rollout.size());
  detail::expects<shape_error>(mask.empty() || mask.size() == old.size(), "engine_mismatch", "mask", old.size(),
                               mask.size());
  mismatch_report r;
  double abs_sum = 0, k3_sum = 0, mult = 0, w_sum = 0, w2_sum = 0;
  for (std::int64_t i = 0; i < old.size(); ++i) {
    if (!mask.empty() && mask[i] == 0) continue;
    const double q = static_cast<double>(old[i]) - static_cast<double>(rollout[i]);
    const double c = math::clamp(q, -20.0, 20.0), w = math::exp(c), a = math::abs(q);
    ++r.tokens;
    abs_sum += a;
    if (!(a <= r.max_abs)) r.max_abs = a;
    k3_sum += (w - 1.0) - c;
    mult += math::exp(math::min(a, 20.0)) - 1.0;
    w_sum += w;
    w2_sum = math::fma(w, w, w2_sum);
  }
  if (r.tokens == 0) return r;
  const double n = static_cast<double>(r.tokens);
  r.mean_abs = abs_sum / n;
  r.k3 = k3_sum / n;
  r.mult_prob_error = mult / n;
  r.mean_weight = w_sum / n;
  r.ess_fraction = (w_sum * w_sum) / (n * w2_sum);
  r.chi_squared = (w2_sum - n) / n;
  return r;
}

// Behaviour gap: another thing than mismatch. Sampling was truncated (top-k, top-p) and scoring is not, so the sampled
// distribution is the scored one over kept_mass, the probability of the kept tokens at each loss token.
struct behaviour_gap_report {
  std::int64_t tokens = 0;
  double mean = 0, max = 0;  // of -log kept_mass, nats
};
template <class T>
behaviour_gap_report behaviour_gap(view<const T, 1> kept_mass, view<const std::uint8_t, 1> mask = {}) {
  detail::expects<shape_error>(mask.empty() || mask.size() == kept_mass.size(), "behaviour_gap", "mask",
                               kept_mass.size(), mask.size());
  behaviour_gap_report r;
  double sum = 0;
  for (std::int64_t i = 0; i < kept_mass.size(); ++i) {
    if (!mask.empty() && mask[i] == 0) continue;
    const double g = 0.0 - math::log(static_cast<double>(kept_mass[i]));
    ++r.tokens;
    sum += g;
    if (!(g <= r.max)) r.max = g;
  }
  if (r.tokens > 0) r.mean = sum / static_cast<double>(r.tokens);
  return r;
}

}  // namespace ql::rl
