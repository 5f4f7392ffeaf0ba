// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: what fills slot::loss is no rl::policy_loss: it needs `static constexpr ql
// max-lines: 15
// A loss that does not say what it reads.
#include "support/recipe.hpp"

struct my_loss {
  template <class T>
  ql::rl::loss_and_grad<T> operator()(const ql::rl::token_term<T>& t) const {
    return {-t.advantage * t.logp, -t.advantage, T(0)};
  }
};

void use() {
#ifdef QL_NEGATIVE
  train(documents{}, ql::with(whole_recipe(), ql::slot::loss = my_loss{}));
#else
  train(documents{}, whole_recipe());
#endif
}
