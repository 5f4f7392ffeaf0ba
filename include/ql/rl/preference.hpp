// SPDX-License-Identifier: Apache-2.0
#pragma once

// Losses of a pair of answers, chosen and rejected, by the margin z = (lp_w - lp_l) - (ref_w - ref_l) of their
// log-probs, each summed over the answer. d is the derivative by z: the chosen answer's tokens have dlogp = d, the
// rejected one's -d. Other divergences than the reverse KL, and means instead of sums, are arguments of
// apply_preference.

#include <ql/config.hpp>
#include <ql/error.hpp>
#include <ql/math.hpp>
#include <ql/rl/rules.hpp>
#include <ql/tensor/view.hpp>

#include <concepts>
#include <cstdint>
#include <string_view>

namespace ql::rl {

template <class T>
struct margin_loss {
  T value, d;
};
template <class L, class T>
concept preference_loss = std::copyable<L> && requires(const L& l, T z) {
  { l(z) } -> std::same_as<margin_loss<T>>;
};

namespace detail {
// -log sigmoid(x), without overflow, and its derivative
template <class T>
QL_HD constexpr margin_loss<T> minus_log_sigmoid(T x) {
  const T e = math::exp(-math::abs(x));
  const T value = math::log(T(1) + e) + (x < T(0) ? -x : T(0));
  const T sigmoid_of_minus = x < T(0) ? T(1) / (T(1) + e) : e / (T(1) + e);
  return {value, -sigmoid_of_minus};
}
}  // namespace detail

// -log sigmoid(beta z), arXiv 2305.18290 eq. 7; with smoothing s the conservative form
// -(1 - s) log sigmoid(beta z) - s log sigmoid(-beta z).
struct dpo {
  double beta = 0.1, smoothing = 0.0;
  constexpr void validate(rule_book& b) const {
    b.require(beta > 0, "dpo.beta", beta, "above 0", "use 0.1");
    b.require(smoothing >= 0 && smoothing < 0.5, "dpo.smoothing", smoothing, "in [0, 0.5)", "use 0");
  }
  template <class T>
  QL_HD constexpr margin_loss<T> operator()(T z) const {
    const T k = static_cast<T>(beta), s = static_cast<T>(smoothing);
    const auto right = detail::minus_log_sigmoid(k * z), wrong = detail::minus_log_sigmoid(-(k * z));
    return {math::fma(T(1) - s, right.value, s * wrong.value), k * math::fma(T(1) - s, right.d, -(s * wrong.d))};
  }
};
// (z - 1 / (2 beta))^2, arXiv 2310.12036.
struct ipo {
  double beta = 0.1;
  constexpr void validate(rule_book& b) const { b.require(beta > 0, "ipo.beta", beta, "above 0", "use 0.1"); }
  template <class T>
  QL_HD constexpr margin_loss<T> operator()(T z) const {
    const T gap = z - static_cast<T>(0.5 / beta);
    return {gap * gap, T(2) * gap};
  }
};
// max(0, 1 - beta z), arXiv 2305.10425.
struct hinge_preference {
  double beta = 0.1;
  constexpr void validate(rule_book& b) const {
    b.require(beta > 0, "hinge_preference.beta", beta, "above 0", "use 0.1");
  }
  template <class T>
  QL_HD constexpr margin_loss<T> operator()(T z) const {
    const T k = static_cast<T>(beta), v = math::fma(-k, z, T(1));
    return v > T(0) ? margin_loss<T>{v, -k} : margin_loss<T>{T(0), T(0)};
  }
};

// What an answer's log-ratio s = log(pi / ref) is worth in the margin, and its derivative: f'(e^s) for the divergence f
// that keeps the policy near the reference (f-DPO, arXiv 2309.16240, table 2).
template <class T>
struct margin_part {
  T value, d;
};
// s: the reverse KL of DPO itself.
struct reverse_kl_margin {
  template <class T>
  QL_HD constexpr margin_part<T> operator()(T s) const {
    return {s, T(1)};
  }
};
// -e^-s; s below -limit counts as -limit, and has no gradient.
struct forward_kl_margin {
  double limit = 80.0;
  constexpr void validate(rule_book& b) const {
    b.require(limit > 0 && limit <= 80, "forward_kl_margin.limit", limit, "in (0, 80]", "use 80");
  }
  template <class T>
  QL_HD constexpr margin_part<T> operator()(T s) const {
    const T low = -static_cast<T>(limit), e = math::exp(-math::max(low, s));
    return {-e, math::keep_if(!(s < low), e)};
  }
};
// (1 - e^(-alpha s)) / alpha, alpha in (0, 1); alpha s below -limit counts as -limit, and has no gradient.
struct alpha_margin {
  double alpha = 0.5, limit = 80.0;
  constexpr void validate(rule_book& b) const {
    b.require(alpha > 0 && alpha < 1, "alpha_margin.alpha", alpha, "in (0, 1)",
              "use 0.5; reverse_kl_margin is 0, forward_kl_margin 1");
    b.require(limit > 0 && limit <= 80, "alpha_margin.limit", limit, "in (0, 80]", "use 80");
  }
  template <class T>
  QL_HD constexpr margin_part<T> operator()(T s) const {
    const T k = static_cast<T>(alpha), low = -static_cast<T>(limit), x = k * s, e = math::exp(-math::max(low, x));
    return {(T(1) - e) / k, math::keep_if(!(x < low), e)};
  }
};
// s - log(1 + e^s), Jensen-Shannon (up to a constant, which the margin loses).
struct jensen_shannon_margin {
  template <class T>
  QL_HD constexpr margin_part<T> operator()(T s) const {
    const auto m = detail::minus_log_sigmoid(s);
    return {-m.value, -m.d};
  }
};
template <class M, class T>
concept preference_margin = std::copyable<M> && requires(const M& m, T s) {
  { m(s) } -> std::same_as<margin_part<T>>;
};

// An answer's log-ratio: the sum over its tokens (DPO), or their mean, so that length does not count (TRL's
// sigmoid_norm and ipo).
enum class answer_ratio : std::uint8_t { sum, mean };

// Mean over pairs: sequences 2p (chosen) and 2p + 1 (rejected) of packed log-probs. Writes dlogp; returns the value.
//   z = margin(s_chosen) - margin(s_rejected)
template <class L, class T, class Margin = reverse_kl_margin>
  requires preference_loss<L, T> && preference_margin<Margin, T>
double apply_preference(const L& loss, view<const std::int64_t, 1> offsets, view<const T, 1> logp, view<const T, 1> ref,
                        view<T, 1> dlogp, const Margin& margin = {}, answer_ratio ratio = answer_ratio::sum) {
  constexpr std::string_view me = "apply_preference";
  expects_valid(loss);
  expects_valid(margin);
  const std::int64_t n = logp.size(), sequences = offsets.empty() ? 0 : offsets.size() - 1;
  detail::expects<shape_error>(sequences > 0 && sequences % 2 == 0, me, "offsets", "pairs of sequences", sequences);
  detail::expects<shape_error>(offsets[0] == 0 && offsets[sequences] == n, me, "offsets", n, offsets[sequences]);
  for (std::int64_t i = 0; i < sequences; ++i)
    detail::expects<shape_error>(offsets[i] <= offsets[i + 1], me, "offsets", "ascending offsets", offsets[i + 1]);
  detail::expects<shape_error>(ref.size() == n, me, "ref", n, ref.size());
  detail::expects<shape_error>(dlogp.size() == n, me, "dlogp", n, dlogp.size());
  const double weight = 2.0 / static_cast<double>(sequences);
  double total = 0;
  for (std::int64_t p = 0; p < sequences; p += 2) {
    margin_part<T> part[2];
    double share[2];  // of a token in its answer's ratio
    for (std::int64_t side = 0; side < 2; ++side) {
      const std::int64_t begin = offsets[p + side], end = offsets[p + side + 1];
      share[side] = ratio == answer_ratio::mean && end > begin ? 1.0 / static_cast<double>(end - begin) : 1.0;
      double s = 0;
      for (std::int64_t t = begin; t < end; ++t) s += static_cast<double>(logp[t]) - static_cast<double>(ref[t]);
      part[side] = margin(static_cast<T>(share[side] * s));
    }
    const auto r = loss(part[0].value - part[1].value);
    total = math::fma(weight, static_cast<double>(r.value), total);
    for (std::int64_t side = 0; side < 2; ++side) {
      const double sign = side == 0 ? weight : -weight;
      const T d = static_cast<T>(sign * share[side] * static_cast<double>(r.d) * static_cast<double>(part[side].d));
      for (std::int64_t t = offsets[p + side]; t < offsets[p + side + 1]; ++t) dlogp[t] = d;
    }
  }
  return total;
}

}  // namespace ql::rl
