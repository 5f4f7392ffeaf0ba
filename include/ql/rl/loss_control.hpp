// SPDX-License-Identifier: Apache-2.0
#pragma once

// What changes a loss from one batch to the next by the entropy of what was sampled: a rule with a state.

#include <ql/rl/token_term.hpp>

#include <concepts>

namespace ql::rl {

namespace detail {
struct any_loss {
  static constexpr input reads = input::logp;
  template <class T>
  constexpr loss_and_grad<T> operator()(const token_term<T>&) const {
    return {};
  }
};
}  // namespace detail

// `observe` is told the entropy of every batch before it is trained on (batch_entropy of ql/rl/entropy.hpp) and gives
// the state for it; `apply` gives the loss that the state asks for, of one type whatever the state; an update in which
// the rule learns from no answer is left out. The state belongs into the checkpoint.
template <class C>
concept loss_control = std::copyable<C> && std::regular<typename C::state> &&
                       requires(const C& c, const typename C::state& s, double batch_entropy, double advantage,
                                const detail::any_loss& l) {
                         { c.observe(s, batch_entropy) } -> std::same_as<typename C::state>;
                         c.apply(l, s, batch_entropy);
                         { c.learns_from(s, advantage) } -> std::same_as<bool>;
                       };

// The loss as it is.
struct no_control {
  struct state {
    friend constexpr bool operator==(const state&, const state&) = default;
  };
  constexpr state observe(state s, double) const { return s; }
  template <class Loss>
  constexpr Loss apply(const Loss& loss, state, double) const {
    return loss;
  }
  constexpr bool learns_from(state, double) const { return true; }
};
static_assert(loss_control<no_control>);

}  // namespace ql::rl
