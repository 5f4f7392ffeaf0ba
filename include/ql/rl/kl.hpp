// SPDX-License-Identifier: Apache-2.0
#pragma once

// Estimators of KL(policy || reference) from sampled tokens (Schulman, "Approximating KL divergence", 2020), with
// u = logp - ref. Each is itself a policy loss; kl_penalized adds one to another loss. k1 is for rewards only: as a
// loss its expected gradient on-policy is zero.

#include <ql/math.hpp>
#include <ql/rl/policy_loss.hpp>
#include <ql/rl/token_term.hpp>

#include <cstdint>

namespace ql::rl {

// u: unbiased, signed.
struct k1 {
  static constexpr input reads = input::logp | input::ref;
  static constexpr bool legal_as_loss = false;
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    return {t.logp - t.ref, T(1), T(0)};
  }
};

// u^2 / 2: biased, gradient right in expectation.
struct k2 {
  static constexpr input reads = input::logp | input::ref;
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const T u = t.logp - t.ref;
    return {T(0.5) * u * u, u, T(0)};
  }
};

// e^-u - 1 + u: unbiased and never negative. verl clamps u to +-20 and the result to +-10.
struct k3 {
  double input_limit = unlimited, output_limit = unlimited;
  static constexpr input reads = input::logp | input::ref;
  constexpr void validate(rule_book& b) const {
    b.require(input_limit > 0, "k3.input_limit", input_limit, "above 0", "use 20 or unlimited");
    b.require(output_limit > 0, "k3.output_limit", output_limit, "above 0", "use 10 or unlimited");
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const auto q = detail::ratio_of(t.ref, t.logp, input_limit);  // d = -u, r = e^-u
    const T value = (q.r - T(1)) - q.d, limit = static_cast<T>(output_limit);
    const T held = math::clamp(value, -limit, limit), slope = T(1) - q.r;
    return {held, math::keep_if(q.live & (held == value), slope), T(0)};
  }
};

// |u|, verl only.
struct absolute_kl {
  static constexpr input reads = input::logp | input::ref;
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const T u = t.logp - t.ref;
    return {math::abs(u), math::keep_if(u > T(0), T(1)) - math::keep_if(u < T(0), T(1)), T(0)};
  }
};

// The value of Kl with the gradient of k2: verl's k1+ and k3+.
template <class Kl>
struct straight_through {
  Kl kl{};
  static constexpr input reads = input::logp | input::ref;
  static constexpr bool exact_gradient = false;
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    return {kl(t).value, k2{}(t).dlogp, T(0)};
  }
  template <class T>
  constexpr T detached(const token_term<T>& t, const token_term<T>& at) const {
    return kl(at).value + (k2{}(t).value - k2{}(at).value);
  }
};
template <class Kl>
straight_through(Kl) -> straight_through<Kl>;

// exp(logp - sg(logp)) Kl: the gradient of the sampling itself contributes (arXiv 2506.09477), so that k1 becomes
// legal.
template <class Kl>
struct score_function {
  Kl kl{};
  static constexpr input reads = input::logp | input::ref;
  static constexpr bool exact_gradient = false;
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const auto k = kl(t);
    return {k.value, k.dlogp + k.value, T(0)};
  }
  template <class T>
  constexpr T detached(const token_term<T>& t, const token_term<T>& at) const {
    return math::exp(t.logp - at.logp) * kl(t).value;
  }
};
template <class Kl>
score_function(Kl) -> score_function<Kl>;

// r Kl with r = exp(logp - old): unbiased when the tokens come from an older policy (DeepSeek-V3.2, arXiv 2512.02556).
template <class Kl>
struct importance_weighted {
  Kl kl{};
  static constexpr input reads = input::logp | input::old | input::ref;
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    const auto k = kl(t);
    const T r = math::exp(t.logp - t.old);
    return {r * k.value, r * (k.dlogp + k.value), T(0)};
  }
};
template <class Kl>
importance_weighted(Kl) -> importance_weighted<Kl>;

// loss + coefficient kl. The reference policy is needed because of the type; a coefficient of 0 is refused, since it
// would load the reference for nothing.
template <class Loss, class Kl>
struct kl_penalized {
  static_assert(detail::legal_as_loss<Kl>(),
                "ql: k1 as a loss has zero expected gradient on-policy; put it into the reward, or use "
                "score_function<k1>, k2 or k3");
  static_assert(has(Kl::reads, input::ref) && sums_of<Kl> == 0, "ql: the second member must be a KL estimator");
  Loss loss;
  Kl kl;
  double coefficient;

  static constexpr input reads = Loss::reads | Kl::reads;
  static constexpr int sums = sums_of<Loss>;
  using required_aggregation = required_aggregation_t<Loss>;
  static constexpr bool sequence_constant_advantage = needs_sequence_advantage<Loss>;
  static constexpr bool exact_gradient = has_exact_gradient<Loss> && has_exact_gradient<Kl>;

  constexpr void validate(rule_book& b) const {
    if constexpr (checked<Loss>) loss.validate(b);
    if constexpr (checked<Kl>) kl.validate(b);
    b.require(coefficient > 0, "kl_penalized.coefficient", coefficient, "above 0",
              "drop the penalty: with 0 the reference policy is loaded and run for nothing");
  }
  template <class T>
  QL_HD constexpr std::array<T, static_cast<std::size_t>(sums)> contribution(const token_term<T>& t) const {
    return contribution_of(loss, t);
  }
  template <class T>
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t, const sequence_term<sums>& s) const {
    const auto a = evaluate(loss, t, s);
    const auto k = kl(t);
    const T c = static_cast<T>(coefficient);
    return {math::fma(c, k.value, a.value), math::fma(c, k.dlogp, a.dlogp), a.dentropy};
  }
  template <class T>
    requires(sums == 0)
  QL_HD constexpr loss_and_grad<T> operator()(const token_term<T>& t) const {
    return (*this)(t, sequence_term<0>{});
  }
  template <class T>
    requires(sums == 0)
  constexpr T detached(const token_term<T>& t, const token_term<T>& at) const {
    return math::fma(static_cast<T>(coefficient), surrogate(kl, t, at), surrogate(loss, t, at));
  }
};
template <class Loss, class Kl>
kl_penalized(Loss, Kl, double) -> kl_penalized<Loss, Kl>;

// coefficient *= 1 + clip(kl / target - 1, -0.2, 0.2) n / horizon after each n samples: the controller of KL in the
// reward (arXiv 1909.08593, section 2.2). The coefficient is the caller's state.
struct adaptive_kl {
  double target = 0.1, horizon = 10000;
  constexpr void validate(rule_book& b) const {
    b.require(target > 0, "adaptive_kl.target", target, "above 0", "use 0.1");
    b.require(horizon > 0, "adaptive_kl.horizon", horizon, "above 0", "use 10000");
  }
  constexpr double next(double coefficient, double kl, std::int64_t samples) const {
    const double error = math::clamp(kl / target - 1.0, -0.2, 0.2);
    return coefficient * math::fma(error, static_cast<double>(samples) / horizon, 1.0);
  }
};

}  // namespace ql::rl
