// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: recipe\(\) takes assignments: ql::recipe\(ql::slot::loss = my_loss
// max-lines: 15
// Components are given without their slots.
#include "support/recipe.hpp"

void use() {
#ifdef QL_NEGATIVE
  ql::recipe(ql::rl::clip_higher, ql::rl::token_mean{});
#else
  (void)ql::recipe(ql::slot::loss = ql::rl::clip_higher);
#endif
}
