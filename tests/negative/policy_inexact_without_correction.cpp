// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: what fills slot::loss knows no importance correction, but this policy is inexact
// max-lines: 15
// A policy whose log-probs while sampling are not those of its training forward, with a loss that takes them for equal.
#include "support/policy.hpp"

void use() {
#ifdef QL_NEGATIVE
  train_policy<foreign_policy>(ql::with(corrected_recipe(), ql::slot::loss = ql::rl::clip_higher));
#else
  train_policy<foreign_policy>(corrected_recipe());
#endif
}
