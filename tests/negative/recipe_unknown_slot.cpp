// SPDX-License-Identifier: Apache-2.0
// first: error: .*los.*; did you mean .loss.\?
// max-lines: 15
// A slot is misspelt: the compiler says so itself.
#include "support/recipe.hpp"

void use() {
#ifdef QL_NEGATIVE
  (void)ql::with(whole_recipe(), ql::slot::los = ql::rl::cispo{});
#else
  (void)ql::with(whole_recipe(), ql::slot::loss = ql::rl::cispo{});
#endif
}
