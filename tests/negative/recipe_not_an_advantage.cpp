// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: what fills slot::advantage is no rl::advantage_estimator: it needs `void operator
// max-lines: 15
// An estimator that gives its advantages back instead of writing them.
#include "support/recipe.hpp"

struct my_advantage {
  std::vector<float> operator()(std::span<const float> rewards) const { return {rewards.begin(), rewards.end()}; }
};

void use() {
#ifdef QL_NEGATIVE
  train(documents{}, ql::with(whole_recipe(), ql::slot::advantage = my_advantage{}));
#else
  train(documents{}, whole_recipe());
#endif
}
