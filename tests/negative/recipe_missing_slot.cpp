// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: this recipe has nothing in slot::loss \(such as ql::rl::clip_higher\)
// max-lines: 15
// A recipe is used before it is whole.
#include "support/recipe.hpp"

void use() {
  using namespace ql;
  const auto most =
      recipe(slot::engine = session_engine{}, slot::sampler = rl::stochastic{}, slot::curriculum = curriculum::mixed{},
             slot::filter = rl::all_groups{}, slot::shaping = no_shaping{}, slot::advantage = rl::grpo_advantage{},
             slot::aggregation = rl::token_mean{}, slot::optimizer = rl::adamw{},
             slot::schedule = rl::constant_schedule{.rate = 1e-6});
#ifdef QL_NEGATIVE
  train(documents{}, most);
#else
  train(documents{}, with(most, slot::loss = rl::clip_higher));
#endif
}
