// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: policy: it needs parameters\(\) \(each with name, trainable, size\(\), vector\(\),
// as_matrix\(\), and max-lines: 15 A policy that keeps its weights to itself.
#include "support/policy.hpp"

struct closed : foreign_policy {
  void parameters() const {}
};

void use() {
#ifdef QL_NEGATIVE
  train_policy<closed>(corrected_recipe());
#else
  train_policy<foreign_policy>(corrected_recipe());
#endif
}
