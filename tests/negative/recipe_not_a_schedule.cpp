// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: what fills slot::schedule is no rl::schedule: it needs `double operator
// max-lines: 15
// A number in the place of a schedule.
#include "support/recipe.hpp"

void use() {
#ifdef QL_NEGATIVE
  train(documents{}, ql::with(whole_recipe(), ql::slot::schedule = 1e-6));
#else
  train(documents{}, whole_recipe());
#endif
}
