// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: what fills slot::filter is no rl::group_filter: it needs `bool keeps\(
// max-lines: 15
// A filter that takes its scores as a span.
#include "support/recipe.hpp"

struct my_filter {
  bool keeps(std::span<const double>) const { return true; }
};

void use() {
#ifdef QL_NEGATIVE
  train(documents{}, ql::with(whole_recipe(), ql::slot::filter = my_filter{}));
#else
  train(documents{}, whole_recipe());
#endif
}
