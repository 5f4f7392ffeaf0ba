// SPDX-License-Identifier: Apache-2.0
// expect: error: .*ql: k1 as a loss has zero expected gradient on-policy
// max-lines: 15
#include <ql/rl/apply_loss.hpp>
#include <ql/rl/kl.hpp>

ql::rl::loss_report use(const ql::rl::token_batch<float>& b, const ql::rl::loss_gradient<float>& g) {
#ifdef QL_NEGATIVE
  return ql::rl::apply_loss(ql::rl::k1{}, b, ql::rl::token_mean{}, g);
#else
  return ql::rl::apply_loss(ql::rl::k2{}, b, ql::rl::token_mean{}, g);
#endif
}
