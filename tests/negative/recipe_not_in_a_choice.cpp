// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: what fills slot::filter is no rl::group_filter
// max-lines: 15
// One of the components of a choice does not fit.
#include "support/recipe.hpp"

struct my_filter {
  bool keeps(double) const { return true; }
};
using filters = ql::choice<ql::rl::all_groups, my_filter>;

void use() {
#ifdef QL_NEGATIVE
  train(documents{}, ql::with(whole_recipe(), ql::slot::filter = filters{}));
#else
  train(documents{}, whole_recipe());
#endif
}
