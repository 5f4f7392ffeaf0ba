// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: a slot of this recipe is filled twice
// max-lines: 15
// A slot is filled twice.
#include "support/recipe.hpp"

void use() {
#ifdef QL_NEGATIVE
  (void)ql::recipe(ql::slot::loss = ql::rl::clip_higher, ql::slot::loss = ql::rl::cispo{});
#else
  (void)ql::recipe(ql::slot::loss = ql::rl::clip_higher);
#endif
}
