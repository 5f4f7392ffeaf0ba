// SPDX-License-Identifier: Apache-2.0
// expect: error: .*ql: aggregation: it has no member .static constexpr bool split_invariant
// max-lines: 15
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/policy_loss.hpp>

struct my_mean {
#ifndef QL_NEGATIVE
  static constexpr bool split_invariant = true;
#endif
  double weight(ql::rl::sequence_counts, ql::rl::batch_counts b) const { return 1.0 / static_cast<double>(b.tokens); }
};
ql::rl::loss_report use(const ql::rl::token_batch<float>& b, const ql::rl::loss_gradient<float>& g) {
  return ql::rl::apply_loss(ql::rl::clip{}, b, my_mean{}, g);
}
