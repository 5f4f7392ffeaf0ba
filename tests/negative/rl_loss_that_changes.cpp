// SPDX-License-Identifier: Apache-2.0
// expect: error: .*ql: policy_loss: the loss has no member .operator\(\)\(const ql::rl::token_term<T>&\) const
// max-lines: 15
#include <ql/rl/apply_loss.hpp>

struct counts_calls {
  static constexpr ql::rl::input reads = ql::rl::input::logp;
#ifdef QL_NEGATIVE
  int calls = 0;
  ql::rl::loss_and_grad<float> operator()(const ql::rl::token_term<float>& t) {
    return ++calls, ql::rl::loss_and_grad<float>{-t.logp, -1.0f, 0.0f};
  }
#else
  ql::rl::loss_and_grad<float> operator()(const ql::rl::token_term<float>& t) const { return {-t.logp, -1.0f, 0.0f}; }
#endif
};
ql::rl::loss_report use(const ql::rl::token_batch<float>& b, const ql::rl::loss_gradient<float>& g) {
  return ql::rl::apply_loss(counts_calls{}, b, ql::rl::token_mean{}, g);
}
