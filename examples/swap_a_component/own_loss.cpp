// SPDX-License-Identifier: Apache-2.0
// A researcher's own loss: the log-prob, weighted by a ratio that is capped and carries no gradient.
#include "experiment.hpp"

struct truncated_is {  // -min(exp(logp - old), cap) A logp
  using input = ql::rl::input;
  static constexpr input reads = input::logp | input::old | input::advantage;
  static constexpr bool exact_gradient = false;
  double cap = 2.0;

  template <class T>
  constexpr ql::rl::loss_and_grad<T> operator()(const ql::rl::token_term<T>& t) const {
    const T w = ql::math::min(ql::math::exp(t.logp - t.old), static_cast<T>(cap));
    return {-w * t.advantage * t.logp, -w * t.advantage, T(0)};
  }
};

result own_loss() {
  return train("own loss", lookup{}, ql::with(base_recipe(), ql::slot::loss = truncated_is{.cap = 1.5}));
}
