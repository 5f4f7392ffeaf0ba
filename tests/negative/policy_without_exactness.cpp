// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: policy: it needs the types scalar_type, value_type .* `static constexpr ql::exactness
// max-lines: 15
// A policy that does not say whether it is exact.
#include "support/policy.hpp"

void use() {
#ifdef QL_NEGATIVE
  train_policy<ql::testing::archetypes::policy_of_unknown_exactness>(corrected_recipe());
#else
  train_policy<foreign_policy>(corrected_recipe());
#endif
}
