// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: what fills slot::control is no rl::loss_control: it needs a comparable `state`
// max-lines: 15
// A rule for the loss that keeps no state.
#include "support/recipe.hpp"

struct my_control {
  template <class Loss>
  Loss apply(const Loss& loss, double) const {
    return loss;
  }
};

void use() {
#ifdef QL_NEGATIVE
  train(documents{}, ql::with(whole_recipe(), ql::slot::control = my_control{}));
#else
  train(documents{}, ql::with(whole_recipe(), ql::slot::control = ql::rl::aepo{.low = 0.1, .high = 0.3}));
#endif
}
