// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a policy loss is: a named function object from one token's numbers to a value and two derivatives. It declares
// which numbers it reads, so that the others need not exist. A loss with terms that belong to a whole sequence (GSPO,
// GMPO) declares sums that the library takes over the sequence first.

#include <ql/config.hpp>
#include <ql/math.hpp>
#include <ql/rl/rules.hpp>

#include <array>
#include <concepts>
#include <cstdint>
#include <type_traits>

namespace ql::rl {

// One loss token: log-probs under the policy now, at the start of the update, at sampling, and under the frozen
// reference (all natural logs), the entropy of its distribution (nats), and its advantage.
template <class T>
struct token_term {
  T logp, old, rollout, ref, entropy, advantage;
};

// A minimised loss and its derivatives by logp and by entropy.
template <class T>
struct loss_and_grad {
  T value = T(0), dlogp = T(0), dentropy = T(0);
};

enum class input : unsigned { none = 0, logp = 1, old = 2, rollout = 4, ref = 8, entropy = 16, advantage = 32 };
constexpr input operator|(input a, input b) {
  return static_cast<input>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}
// Is every input of `part` in `set`?
constexpr bool has(input set, input part) {
  return (static_cast<unsigned>(set) & static_cast<unsigned>(part)) == static_cast<unsigned>(part);
}

// Sums over the loss tokens of one sequence, in token order.
template <int K>
struct sequence_term {
  std::array<double, static_cast<std::size_t>(K)> sum{};
  std::int64_t count = 0;
  QL_HD constexpr double mean(int k) const { return sum[static_cast<std::size_t>(k)] / static_cast<double>(count); }
};

namespace detail {
template <class L>
constexpr int declared_sums() {
  if constexpr (requires { L::sums; }) {
    return L::sums;
  } else {
    return 0;
  }
}
template <class L>
struct required_aggregation {
  using type = void;
};
template <class L>
  requires requires { typename L::required_aggregation; }
struct required_aggregation<L> {
  using type = typename L::required_aggregation;
};
template <class L>
constexpr bool sequence_constant_advantage() {
  if constexpr (requires { L::sequence_constant_advantage; }) {
    return L::sequence_constant_advantage;
  } else {
    return false;
  }
}
template <class L>
constexpr bool legal_as_loss() {
  if constexpr (requires { L::legal_as_loss; }) {
    return L::legal_as_loss;
  } else {
    return true;
  }
}
template <class L>
constexpr bool exact_gradient() {
  if constexpr (requires { L::exact_gradient; }) {
    return L::exact_gradient;
  } else {
    return true;
  }
}
}  // namespace detail

// How many sums over its sequence a loss asks for; 0 for a pointwise loss.
template <class L>
inline constexpr int sums_of = detail::declared_sums<L>();
// The only aggregation a loss is defined for; void: any.
template <class L>
using required_aggregation_t = typename detail::required_aggregation<L>::type;
// True if a loss needs one advantage for all tokens of a sequence.
template <class L>
inline constexpr bool needs_sequence_advantage = detail::sequence_constant_advantage<L>();
// False where the loss's dlogp is not the derivative of its value on purpose (stop-gradient weights): the
// finite-difference law then tests `detached(t, at)`, the value with the stopped parts taken at `at`.
template <class L>
inline constexpr bool has_exact_gradient = detail::exact_gradient<L>();

namespace detail {
template <class L>
concept declares_inputs = requires {
  { L::reads } -> std::convertible_to<input>;
};
template <class L, class T>
concept pointwise = requires(const L& l, const token_term<T>& t) {
  { l(t) } -> std::same_as<loss_and_grad<T>>;
};
template <class L, class T>
concept sequenced = requires(const L& l, const token_term<T>& t, const sequence_term<sums_of<L>>& s) {
  { l.contribution(t) } -> std::same_as<std::array<T, static_cast<std::size_t>(sums_of<L>)>>;
  { l(t, s) } -> std::same_as<loss_and_grad<T>>;
};
}  // namespace detail

// A loss of one token: `l(token_term<T>) -> loss_and_grad<T>`, with `static constexpr ql::rl::input reads`.
// Named function objects at namespace scope only: a lambda cannot become a device kernel.
template <class L, class T>
concept pointwise_loss = std::floating_point<T> && std::copyable<L> && detail::declares_inputs<L> && sums_of<L> == 0 &&
                         detail::pointwise<L, T>;

// A loss with a second stage: `contribution(token_term<T>) -> std::array<T, sums>` is summed over the loss tokens of a
// sequence; `l(token_term<T>, sequence_term<sums>)` then gives each token its share.
template <class L, class T>
concept sequence_loss = std::floating_point<T> && std::copyable<L> && detail::declares_inputs<L> && (sums_of<L> > 0) &&
                        detail::sequenced<L, T>;

// The library aggregates value, dlogp and dentropy of a token with one weight. A sequence loss therefore gives each of
// its n tokens the value of the sequence, and n times the derivative of that value by the token's logp.
template <class L, class T>
concept policy_loss = pointwise_loss<L, T> || sequence_loss<L, T>;

namespace detail {
// Says in words what L lacks to be a policy_loss<L, T>; a compiler's own account of a concept runs over many lines.
template <class L, class T>
constexpr void explain_policy_loss() {
  static_assert(std::floating_point<T>, "ql: policy_loss: log-probs must be float or double");
  static_assert(std::copyable<L>, "ql: policy_loss: a loss must be copyable");
  static_assert(
      declares_inputs<L>,
      "ql: policy_loss: the loss has no member `static constexpr ql::rl::input reads`, which says what it reads");
  using term = const token_term<T>&;
  using sums = const sequence_term<sums_of<L>>&;
  if constexpr (sums_of<L> == 0) {
    static_assert(
        requires(const L& l, term t) { l(t); },
        "ql: policy_loss: the loss has no member `operator()(const ql::rl::token_term<T>&) const`");
    if constexpr (requires(const L& l, term t) { l(t); })
      static_assert(pointwise<L, T>,
                    "ql: policy_loss: operator() must return ql::rl::loss_and_grad<T>: {value, dlogp, dentropy}");
  } else {
    static_assert(
        requires(const L& l, term t) { l.contribution(t); },
        "ql: policy_loss: a loss with `sums` has no member `contribution(const ql::rl::token_term<T>&) const`");
    static_assert(
        requires(const L& l, term t, sums s) { l(t, s); },
        "ql: policy_loss: a loss with `sums` has no member "
        "`operator()(const ql::rl::token_term<T>&, const ql::rl::sequence_term<sums>&) const`");
    if constexpr (requires(const L& l, term t, sums s) { l.contribution(t), l(t, s); })
      static_assert(sequenced<L, T>,
                    "ql: policy_loss: contribution() must return std::array<T, sums>, and operator() "
                    "ql::rl::loss_and_grad<T>: {value, dlogp, dentropy}");
  }
}
}  // namespace detail

// Either kind of loss, called the same way; for decorators.
template <class L, class T>
  requires policy_loss<L, T>
QL_HD constexpr loss_and_grad<T> evaluate(const L& l, const token_term<T>& t, const sequence_term<sums_of<L>>& s) {
  if constexpr (sums_of < L >> 0) {
    return l(t, s);
  } else {
    return l(t);
  }
}
template <class L, class T>
QL_HD constexpr std::array<T, static_cast<std::size_t>(sums_of<L>)> contribution_of(const L& l,
                                                                                    const token_term<T>& t) {
  if constexpr (sums_of < L >> 0) {
    return l.contribution(t);
  } else {
    return {};
  }
}

// The loss of t as an optimizer sees it near `at`: parts under a stop-gradient keep their value at `at`. Its derivative
// by t.logp at t == at is dlogp. For the finite-difference law.
template <class L, class T>
  requires pointwise_loss<L, T>
constexpr T surrogate(const L& l, const token_term<T>& t, const token_term<T>& at) {
  if constexpr (requires { l.detached(t, at); }) {
    return l.detached(t, at);
  } else {
    return l(t).value;
  }
}

namespace detail {
// Nothing where `gone`, even if a overflowed.
template <class T>
QL_HD constexpr loss_and_grad<T> unless(bool gone, const loss_and_grad<T>& a) {
  return {math::keep_if(!gone, a.value), math::keep_if(!gone, a.dlogp), math::keep_if(!gone, a.dentropy)};
}
// The first K of a decorator's sums are its inner loss's.
template <int K, int N>
QL_HD constexpr sequence_term<K> first_sums(const sequence_term<N>& s) {
  static_assert(K <= N);
  sequence_term<K> r;
  for (std::size_t k = 0; k < static_cast<std::size_t>(K); ++k) r.sum[k] = s.sum[k];
  r.count = s.count;
  return r;
}
template <int N, class T, std::size_t K>
QL_HD constexpr std::array<T, static_cast<std::size_t>(N)> append(const std::array<T, K>& a, T last) {
  static_assert(N == static_cast<int>(K) + 1);
  std::array<T, static_cast<std::size_t>(N)> r{};
  for (std::size_t k = 0; k < K; ++k) r[k] = a[k];
  r[K] = last;
  return r;
}
}  // namespace detail

}  // namespace ql::rl
