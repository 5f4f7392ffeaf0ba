// SPDX-License-Identifier: Apache-2.0
// expect: k1 as a loss has zero expected gradient on-policy
// max-lines: 15
#include <ql/rl/kl.hpp>

ql::rl::kl_penalized<ql::rl::clip, ql::rl::score_function<ql::rl::k1>> legal{{}, {}, 0.1};
#ifdef QL_NEGATIVE
ql::rl::kl_penalized<ql::rl::clip, ql::rl::k1> wrong{{}, {}, 0.1};
#endif
