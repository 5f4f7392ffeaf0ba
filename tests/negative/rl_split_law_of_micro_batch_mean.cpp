// SPDX-License-Identifier: Apache-2.0
// expect: this aggregation depends on how the update is cut
// max-lines: 15
#include <ql/rl/policy_loss.hpp>
#include <ql/testing/rl_laws.hpp>

auto right() { return ql::testing::laws::batching(ql::rl::clip{}, ql::rl::token_mean{}); }
#ifdef QL_NEGATIVE
auto wrong() { return ql::testing::laws::batching(ql::rl::clip{}, ql::rl::micro_batch_token_mean{}); }
#endif
