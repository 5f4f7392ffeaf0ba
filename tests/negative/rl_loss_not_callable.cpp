// SPDX-License-Identifier: Apache-2.0
// expect: error: .*ql: policy_loss: the loss has no member .operator\(\)\(const ql::rl::token_term<T>&\) const
// max-lines: 15
#include <ql/rl/apply_loss.hpp>

struct my_loss {
  static constexpr ql::rl::input reads = ql::rl::input::logp;
#ifdef QL_NEGATIVE
  ql::rl::loss_and_grad<float> evaluate(const ql::rl::token_term<float>& t) const { return {-t.logp, -1.0f, 0.0f}; }
#else
  ql::rl::loss_and_grad<float> operator()(const ql::rl::token_term<float>& t) const { return {-t.logp, -1.0f, 0.0f}; }
#endif
};
ql::rl::loss_report use(const ql::rl::token_batch<float>& b, const ql::rl::loss_gradient<float>& g) {
  return ql::rl::apply_loss(my_loss{}, b, ql::rl::token_mean{}, g);
}
