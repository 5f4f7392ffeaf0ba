// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: policy: it needs `backward\(ctx, tape, ql::model::scores<const value_type> d\)`
// max-lines: 15
// A policy whose backward() does not take what its score() returns.
#include "support/policy.hpp"

void use() {
#ifdef QL_NEGATIVE
  train_policy<ql::testing::archetypes::policy_with_a_foreign_tape>(corrected_recipe());
#else
  train_policy<foreign_policy>(corrected_recipe());
#endif
}
