// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: what fills slot::curriculum is no curriculum: it needs a copyable, comparable `state`
// max-lines: 15
// A list of phases in the place of a curriculum.
#include "support/recipe.hpp"

void use() {
#ifdef QL_NEGATIVE
  train(documents{}, ql::with(whole_recipe(), ql::slot::curriculum = std::vector<ql::curriculum::phase>{}));
#else
  train(documents{}, whole_recipe());
#endif
}
