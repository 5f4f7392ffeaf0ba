// SPDX-License-Identifier: Apache-2.0
// expect: error: .*ql: policy_loss: a loss with .sums. has no member .contribution
// max-lines: 15
#include <ql/rl/apply_loss.hpp>

#include <array>

struct my_loss {
  static constexpr ql::rl::input reads = ql::rl::input::logp;
  static constexpr int sums = 1;
#ifndef QL_NEGATIVE
  std::array<float, 1> contribution(const ql::rl::token_term<float>& t) const { return {t.logp}; }
#endif
  ql::rl::loss_and_grad<float> operator()(const ql::rl::token_term<float>&, const ql::rl::sequence_term<1>&) const {
    return {};
  }
};
ql::rl::loss_report use(const ql::rl::token_batch<float>& b, const ql::rl::loss_gradient<float>& g) {
  return ql::rl::apply_loss(my_loss{}, b, ql::rl::token_mean{}, g);
}
