// SPDX-License-Identifier: Apache-2.0
#pragma once

// A policy of another framework and an engine for it, for tests/negative/policy_*.cpp to spoil.

#include <ql/backend/cpu/context.hpp>
#include <ql/rl/correction.hpp>
#include <ql/testing/policy_archetypes.hpp>

#include "recipe.hpp"

using foreign_policy = ql::testing::archetypes::policy;

struct foreign_engine {};

template <class Policy, class Recipe>
void train_policy(const Recipe&) {
  (void)sizeof(ql::rl_trainer<Policy, documents, Recipe>);
}

inline auto corrected_recipe() {
  using namespace ql;
  return with(with(whole_recipe(), slot::engine = foreign_engine{}),
              slot::loss = rl::corrected{rl::clip_higher, rl::token_tis{}});
}
