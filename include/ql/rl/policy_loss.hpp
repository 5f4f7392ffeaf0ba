// SPDX-License-Identifier: Apache-2.0
#pragma once

// Policy losses of the literature, minimised, per token before aggregation. r = exp(logp - old), A the advantage,
// sg() stops the gradient. Decorators (KL, entropy, importance correction) are in kl.hpp, entropy.hpp, correction.hpp.

#include <ql/math.hpp>
#include <ql/rl/aggregation.hpp>
#include <ql/rl/token_term.hpp>

#include <limits>

namespace ql::rl {

inline constexpr double unlimited = std::numeric_limits<double>::infinity();

// An absolute upper bound on a ratio or weight. A type of its own, so that the width of a clip (0.2) cannot pass for
// one: a cap below 1 would scale the on-policy gradient down, and is refused.
struct ratio_cap {
  double value;
  constexpr explicit ratio_cap(double cap) : value(cap) {
    if (!(cap >= 1.0)) [[unlikely]]
      detail::expects(false, "ratio_cap", "value", "at least 1 (an absolute bound on the ratio, not a clip width)",
                      cap);
  }
  friend constexpr bool operator==(const ratio_cap&, const ratio_cap&) = default;
};

namespace detail {

template <class T>
struct ratio {
  T d, r;     // log-ratio, clamped; ratio
  bool live;  // the clamp lets the gradient through
};
// exp(clamp(logp - old, -limit, limit))
template <class T>
QL_HD constexpr ratio<T> ratio_of(T logp, T old, double limit) {
  const T d = logp - old, l = static_cast<T>(limit);
  const T c = math::clamp(d, -l, l);
  return {c, math::exp(c), c == d};
}

// max(-r A, -clip(r, lo, hi) A) and its derivative by log r
template <class T>
struct clipped {
  T value, dlog;
  bool bound;  // the clip decided
};
template <class T>
QL_HD constexpr clipped<T> clipped_surrogate(T r, T lo, T hi, T advantage) {
  const T free = -(r * advantage), held = -(math::clamp(r, lo, hi) * advantage);
  const bool bound = held > free;
  return {math::max(held, free), math::keep_if(!bound, free), bound};
}

constexpr void check_widths(rule_book& book, const char* low_key, double low, const char* high_key, double high) {
  book.require(low >= 0 && low < 1, low_key, low, "a width in [0, 1)", "use 0.2");
  book.require(high >= 0, high_key, high, "a width of at least 0", "use 0.2 or 0.28");
}

}  // namespace detail

// A loop over a loss vectorises if it holds no branch: math::select and keep_if choose, and & joins conditions. A bound
// is min(bound, x): min(x, bound) would turn a NaN into the bound.

// -A logp, Williams 1992. At logp == old every ratio loss has this gradient.
struct reinforce {
  static constexpr input reads = input::logp | input::advantage;
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    return {-(t.advantage * t.logp), -t.advantage, T(0)};
  }
};

// -logp: supervised fine-tuning.
struct sft {
  static constexpr input reads = input::logp;
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    return {-t.logp, T(-1), T(0)};
  }
};

// -r A without clipping: the strictly on-policy objective of QwenLong-L1.5 (arXiv 2512.12967).
struct ratio_loss {
  double log_ratio_limit = unlimited;
  static constexpr input reads = input::logp | input::old | input::advantage;
  constexpr void validate(rule_book& b) const {
    b.require(log_ratio_limit > 0, "ratio_loss.log_ratio_limit", log_ratio_limit, "above 0", "use 20 or unlimited");
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const auto q = detail::ratio_of(t.logp, t.old, log_ratio_limit);
    const T v = -(q.r * t.advantage);
    return {v, math::keep_if(q.live, v), T(0)};
  }
};

// -min(r A, clip(r, 1 - low, 1 + high) A), arXiv 1707.06347 eq. 7. PPO and GRPO use 0.2/0.2, DAPO's clip-higher
// (arXiv 2503.14476) 0.2/0.28. log_ratio_limit clamps logp - old before exp (verl: 20).
struct clip {
  double low = 0.2, high = 0.2, log_ratio_limit = unlimited;
  static constexpr input reads = input::logp | input::old | input::advantage;
  constexpr void validate(rule_book& b) const {
    detail::check_widths(b, "clip.low", low, "clip.high", high);
    b.require(log_ratio_limit > 0, "clip.log_ratio_limit", log_ratio_limit, "above 0", "use 20 or unlimited");
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const auto q = detail::ratio_of(t.logp, t.old, log_ratio_limit);
    const auto c = detail::clipped_surrogate(q.r, static_cast<T>(1.0 - low), static_cast<T>(1.0 + high), t.advantage);
    return {c.value, math::keep_if(q.live, c.dlog), T(0)};
  }
};
inline constexpr clip clip_higher{.low = 0.2, .high = 0.28};

// clip, and for A < 0 at most -c A: min(previous, -c A), arXiv 1912.09729. c > 1.
struct dual_clip {
  double low = 0.2, high = 0.2, c = 3.0, log_ratio_limit = unlimited;
  static constexpr input reads = input::logp | input::old | input::advantage;
  constexpr void validate(rule_book& b) const {
    detail::check_widths(b, "dual_clip.low", low, "dual_clip.high", high);
    b.require(c > 1, "dual_clip.c", c, "above 1", "use 3, or clip{} for none");
    b.require(log_ratio_limit > 0, "dual_clip.log_ratio_limit", log_ratio_limit, "above 0", "use 20 or unlimited");
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const auto q = detail::ratio_of(t.logp, t.old, log_ratio_limit);
    const auto s = detail::clipped_surrogate(q.r, static_cast<T>(1.0 - low), static_cast<T>(1.0 + high), t.advantage);
    const T bound = -(static_cast<T>(c) * t.advantage);
    const bool negative = t.advantage < T(0), capped = negative & (bound < s.value);
    return {math::select(capped, bound, s.value), math::keep_if(!capped & q.live, s.dlog), T(0)};
  }
};

// clip with min(r, cap) in the unclipped branch, for A < 0 and a ratio run away: INTELLECT-2 (arXiv 2505.07291),
// TRL's `delta`.
struct two_sided_clip {
  double low = 0.2, high = 0.2;
  ratio_cap cap{4.0};
  static constexpr input reads = input::logp | input::old | input::advantage;
  constexpr void validate(rule_book& b) const {
    detail::check_widths(b, "two_sided_clip.low", low, "two_sided_clip.high", high);
    b.require(cap.value > 1.0 + high, "two_sided_clip.cap", cap.value, "above 1 + high", "use 4");
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const T r = math::exp(t.logp - t.old), top = static_cast<T>(cap.value);
    const auto s = detail::clipped_surrogate(math::min(top, r), static_cast<T>(1.0 - low), static_cast<T>(1.0 + high),
                                             t.advantage);
    return {s.value, math::keep_if(!(r > top), s.dlog), T(0)};
  }
};

// -sg(clip(r, floor, cap)) A logp: clipped tokens keep their gradient. MiniMax-M1 (arXiv 2506.13585); ScaleRL caps at
// 5 (arXiv 2510.13786). floor and cap are absolute bounds on r.
struct cispo {
  double floor = 0.0;
  ratio_cap cap{5.0};
  static constexpr input reads = input::logp | input::old | input::advantage;
  static constexpr bool exact_gradient = false;
  constexpr void validate(rule_book& b) const {
    b.require(floor >= 0 && floor <= 1, "cispo.floor", floor, "in [0, 1]", "use 0 for no lower bound");
  }
  template <class T>
  QL_HD constexpr T weight(const token_term<T>& t) const {
    return math::clamp(math::exp(t.logp - t.old), static_cast<T>(floor), static_cast<T>(cap.value));
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const T wa = weight(t) * t.advantage;
    return {-(wa * t.logp), -wa, T(0)};
  }
  template <class T>
  constexpr T detached(const token_term<T>& t, const token_term<T>& at) const {
    return -(weight(at) * t.advantage * t.logp);
  }
};

namespace detail {
// mean over the sequence of logp - old
template <class T>
QL_HD constexpr std::array<T, 1> mean_log_ratio(const token_term<T>& t) {
  return {t.logp - t.old};
}
}  // namespace detail

// -min(s A, clip(s) A) with s = exp(mean_t (logp - old)), arXiv 2507.18071 eq. 5. Sequence ratios live within a
// thousandth of 1, so a PPO width never binds: widths above 0.05 must be asked for with allow_wide.
struct gspo {
  double low = 3e-4, high = 4e-4;
  bool allow_wide = false;
  double log_ratio_limit = unlimited;  // upper bound of the mean log-ratio (verl: 10)
  static constexpr input reads = input::logp | input::old | input::advantage;
  static constexpr int sums = 1;
  using required_aggregation = sequence_mean_token_mean;
  static constexpr bool sequence_constant_advantage = true;
  constexpr void validate(rule_book& b) const {
    detail::check_widths(b, "gspo.low", low, "gspo.high", high);
    b.require(allow_wide || low <= 0.05, "gspo.low", low, "at most 0.05 for a sequence ratio",
              "use 3e-4, or say allow_wide");
    b.require(allow_wide || high <= 0.05, "gspo.high", high, "at most 0.05 for a sequence ratio",
              "use 4e-4, or say allow_wide");
  }
  template <class T>
  QL_HD constexpr std::array<T, 1> contribution(const token_term<T>& t) const {
    return detail::mean_log_ratio(t);
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t, const sequence_term<1>& s) const {
    const T mean = static_cast<T>(s.mean(0)), limit = static_cast<T>(log_ratio_limit);
    const T r = math::exp(math::min(limit, mean));
    const auto c = detail::clipped_surrogate(r, static_cast<T>(1.0 - low), static_cast<T>(1.0 + high), t.advantage);
    return {c.value, math::keep_if(!(mean > limit), c.dlog), T(0)};
  }
};

// GSPO with sg(s) exp(logp - sg(logp)) in place of s (arXiv 2507.18071 eq. 13): the same numbers where all tokens of a
// sequence share an advantage, and defined where they do not.
struct gspo_token {
  double low = 3e-4, high = 4e-4;
  bool allow_wide = false;
  double log_ratio_limit = unlimited;
  static constexpr input reads = input::logp | input::old | input::advantage;
  static constexpr int sums = 1;
  static constexpr bool exact_gradient = false;
  using required_aggregation = sequence_mean_token_mean;
  constexpr void validate(rule_book& b) const {
    gspo{.low = low, .high = high, .allow_wide = allow_wide, .log_ratio_limit = log_ratio_limit}.validate(b);
  }
  template <class T>
  QL_HD constexpr std::array<T, 1> contribution(const token_term<T>& t) const {
    return detail::mean_log_ratio(t);
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t, const sequence_term<1>& s) const {
    return gspo{.low = low, .high = high, .allow_wide = true, .log_ratio_limit = log_ratio_limit}(t, s);
  }
};

// GSPO's term times the length of its sequence: LUSPO, arXiv 2602.05261.
struct luspo {
  gspo inner{};
  static constexpr input reads = gspo::reads;
  static constexpr int sums = 1;
  using required_aggregation = sequence_mean_token_mean;
  static constexpr bool sequence_constant_advantage = true;
  constexpr void validate(rule_book& b) const { inner.validate(b); }
  template <class T>
  QL_HD constexpr std::array<T, 1> contribution(const token_term<T>& t) const {
    return inner.contribution(t);
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t, const sequence_term<1>& s) const {
    const auto g = inner(t, s);
    const T n = static_cast<T>(s.count);
    return {n * g.value, n * g.dlogp, T(0)};
  }
};

// -A exp(mean_t dm), dm = sgn(A) min(sgn(A) d, sgn(A) clip(d, -low, high)), arXiv 2507.20673. Widths are of log-ratios.
struct gmpo {
  double low = 0.4, high = 0.4;
  static constexpr input reads = input::logp | input::old | input::advantage;
  static constexpr int sums = 1;
  using required_aggregation = sequence_mean_token_mean;
  static constexpr bool sequence_constant_advantage = true;
  constexpr void validate(rule_book& b) const {
    b.require(low >= 0, "gmpo.low", low, "at least 0", "use 0.4");
    b.require(high >= 0, "gmpo.high", high, "at least 0", "use 0.4");
  }
  template <class T>
  QL_HD constexpr T held(const token_term<T>& t) const {
    const T d = t.logp - t.old, c = math::clamp(d, static_cast<T>(-low), static_cast<T>(high));
    const T above = math::max(d, c), below = math::min(d, c);
    return math::select(t.advantage < T(0), above, below);
  }
  template <class T>
  QL_HD constexpr std::array<T, 1> contribution(const token_term<T>& t) const {
    return {held(t)};
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t, const sequence_term<1>& s) const {
    const T v = -(t.advantage * math::exp(static_cast<T>(s.mean(0))));
    return {v, math::keep_if(held(t) == t.logp - t.old, v), T(0)};
  }
};

// -f(r) A, f = (4 / tau) sigmoid(tau (r - 1)), tau by the sign of A; f'(1) = 1. arXiv 2511.20347.
struct sapo {
  double tau_positive = 1.0, tau_negative = 1.05;
  static constexpr input reads = input::logp | input::old | input::advantage;
  using required_aggregation = sequence_mean_token_mean;
  constexpr void validate(rule_book& b) const {
    b.require(tau_positive > 0, "sapo.tau_positive", tau_positive, "above 0", "use 1");
    b.require(tau_negative > 0, "sapo.tau_negative", tau_negative, "above 0", "use 1.05");
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const T tau = math::select(t.advantage > T(0), static_cast<T>(tau_positive), static_cast<T>(tau_negative));
    const T r = math::exp(t.logp - t.old);
    const T s = T(1) / (T(1) + math::exp(-(tau * (r - T(1)))));
    const T slope = (T(4) * s) * (T(1) - s) * r;
    // a ratio beyond the range of T gives s = 1 and a slope of inf * 0
    return {-((T(4) / tau) * s * t.advantage), math::keep_if(s != T(1), -(slope * t.advantage)), T(0)};
  }
};

// -sg(min(r, cap)) A logp on tokens that have not moved more than delta in probability in the direction of A:
// DPPO with total variation, arXiv 2602.04879.
struct dppo_tv {
  double delta = 0.2;
  ratio_cap cap{20.0};
  static constexpr input reads = input::logp | input::old | input::advantage;
  static constexpr bool exact_gradient = false;
  constexpr void validate(rule_book& b) const {
    b.require(delta > 0 && delta <= 1, "dppo_tv.delta", delta, "in (0, 1]", "use 0.2");
  }
  template <class T>
  QL_HD constexpr T weight(const token_term<T>& t) const {
    const T moved = math::exp(t.logp) - math::exp(t.old), limit = static_cast<T>(delta);
    const bool positive = t.advantage > T(0), keep = (positive & (moved <= limit)) | (!positive & (moved >= -limit));
    return math::keep_if(keep, math::min(static_cast<T>(cap.value), math::exp(t.logp - t.old)));
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const T wa = weight(t) * t.advantage;
    return {-(wa * t.logp), -wa, T(0)};
  }
  template <class T>
  constexpr T detached(const token_term<T>& t, const token_term<T>& at) const {
    return -(weight(at) * t.advantage * t.logp);
  }
};

// DPPO with the divergence KL(q || p) of the two outcomes {this token, any other}; masks only tokens that move away
// from q in the direction of A.
struct dppo_kl {
  double delta = 0.2, eps = 1e-8;
  ratio_cap cap{20.0};
  static constexpr input reads = input::logp | input::old | input::advantage;
  static constexpr bool exact_gradient = false;
  constexpr void validate(rule_book& b) const {
    b.require(delta > 0, "dppo_kl.delta", delta, "above 0", "use 0.2");
    b.require(eps > 0, "dppo_kl.eps", eps, "above 0", "use 1e-8");
  }
  template <class T>
  QL_HD constexpr T weight(const token_term<T>& t) const {
    const double p = math::exp(static_cast<double>(t.logp)), q = math::exp(static_cast<double>(t.old));
    const double stay = q * static_cast<double>(t.old - t.logp);
    const double rest = 1.0 - q;
    const double kl = math::fma(rest, math::log((rest + eps) / (1.0 - p + eps)), stay);
    const bool away = t.advantage > T(0) ? p > q : p < q;
    return away && kl > delta ? T(0) : math::min(static_cast<T>(cap.value), math::exp(t.logp - t.old));
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const T wa = weight(t) * t.advantage;
    return {-(wa * t.logp), -wa, T(0)};
  }
  template <class T>
  constexpr T detached(const token_term<T>& t, const token_term<T>& at) const {
    return -(weight(at) * t.advantage * t.logp);
  }
};

// -(A logp - tau / 2 (logp - old)^2): Kimi-1.5 (arXiv 2501.12599), and DRO (arXiv 2405.19107) with its beta for tau.
struct squared_log_ratio {
  double tau;  // no default: the papers' scales differ (0.1 is common)
  static constexpr input reads = input::logp | input::old | input::advantage;
  constexpr void validate(rule_book& b) const {
    b.require(tau >= 0, "squared_log_ratio.tau", tau, "at least 0", "use 0.1");
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const T d = t.logp - t.old, k = static_cast<T>(tau);
    return {math::fma(k * T(0.5) * d, d, -(t.advantage * t.logp)), math::fma(k, d, -t.advantage), T(0)};
  }
};

// -A logp for A >= 0; -sg(clip(r, 0, 1)) A logp for A < 0: TOPR, arXiv 2503.14286 (on centred rewards).
struct topr {
  static constexpr input reads = input::logp | input::old | input::advantage;
  static constexpr bool exact_gradient = false;
  template <class T>
  QL_HD constexpr T weight(const token_term<T>& t) const {
    return math::select(t.advantage < T(0), math::min(T(1), math::exp(t.logp - t.old)), T(1));
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const T wa = weight(t) * t.advantage;
    return {-(wa * t.logp), -wa, T(0)};
  }
  template <class T>
  constexpr T detached(const token_term<T>& t, const token_term<T>& at) const {
    return -(weight(at) * t.advantage * t.logp);
  }
};

// -phi(w) A logp, w = exp(sum_t (logp - old)) of the sequence, phi(w) = e^lambda w^k e^(-lambda w), detached:
// VESPO, arXiv 2602.10693; k and lambda by the sign of A.
struct vespo {
  double k_positive = 2, lambda_positive = 3, k_negative = 3, lambda_negative = 2;
  static constexpr input reads = input::logp | input::old | input::advantage;
  static constexpr int sums = 1;
  static constexpr bool exact_gradient = false;
  template <class T>
  QL_HD constexpr std::array<T, 1> contribution(const token_term<T>& t) const {
    return detail::mean_log_ratio(t);
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t, const sequence_term<1>& s) const {
    const bool negative = t.advantage < T(0);
    const T k = math::select(negative, static_cast<T>(k_negative), static_cast<T>(k_positive));
    const T lambda = math::select(negative, static_cast<T>(lambda_negative), static_cast<T>(lambda_positive));
    const T log_w = static_cast<T>(s.sum[0]);
    const T phi = math::exp(math::fma(k, log_w, math::fma(-lambda, math::exp(log_w), lambda)));
    const T wa = phi * t.advantage;
    return {-(wa * t.logp), -wa, T(0)};
  }
};

// abs(logp - old): what KL-Cov (arXiv 2505.22617) adds on its selected tokens.
struct absolute_log_ratio {
  double coefficient = 1.0;
  static constexpr input reads = input::logp | input::old;
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const T d = t.logp - t.old, c = static_cast<T>(coefficient);
    return {c * math::abs(d), math::keep_if(d > T(0), c) - math::keep_if(d < T(0), c), T(0)};
  }
};

// The critic's loss of one token, 0.5 max((v - target)^2, (clip(v, v_old +- e) - target)^2), and its derivative by v.
struct value_clip {
  double e = 0.2;  // 0.2: TRL, slime; 0.5: verl, OpenRLHF
  template <class T>
  struct result {
    T value, dv;
  };
  template <class T>
  QL_HD constexpr result<T> operator()(T v, T v_old, T target) const {
    const T w = static_cast<T>(e), held = math::clamp(v, v_old - w, v_old + w);
    const T a = v - target, b = held - target;
    const bool clipped = b * b > a * a;
    return {T(0.5) * (clipped ? b * b : a * a), clipped ? (held == v ? b : T(0)) : a};
  }
};

}  // namespace ql::rl
