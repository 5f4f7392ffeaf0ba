// SPDX-License-Identifier: Apache-2.0
// expect: error: .*ql: aggregation_for: this loss is defined for one aggregation only
// max-lines: 15
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/policy_loss.hpp>

ql::rl::loss_report use(const ql::rl::token_batch<float>& b, const ql::rl::loss_gradient<float>& g) {
#ifdef QL_NEGATIVE
  return ql::rl::apply_loss(ql::rl::gspo{}, b, ql::rl::token_mean{}, g);
#else
  return ql::rl::apply_loss(ql::rl::gspo{}, b, ql::rl::sequence_mean_token_mean{}, g);
#endif
}
