// SPDX-License-Identifier: Apache-2.0
// expect: static assertion failed|static_assert failed
// max-lines: 15
#include <ql/rl/kl.hpp>

static_assert(ql::rl::valid(ql::rl::kl_penalized{ql::rl::clip{}, ql::rl::k3{}, 0.01}));
static_assert(ql::rl::valid(ql::rl::gspo{}));
#ifdef QL_NEGATIVE
static_assert(ql::rl::valid(ql::rl::kl_penalized{ql::rl::clip{}, ql::rl::k3{}, 0.0}));
#endif
