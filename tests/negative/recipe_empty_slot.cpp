// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: this recipe leaves the slot empty; fill it with ql::with\(recipe, slot = component\)
// max-lines: 15
// A slot is read that nothing fills.
#include "support/recipe.hpp"

void use() {
  const auto r = ql::recipe(ql::slot::loss = ql::rl::clip_higher);
#ifdef QL_NEGATIVE
  (void)r[ql::slot::filter];
#else
  (void)r[ql::slot::loss];
#endif
}
