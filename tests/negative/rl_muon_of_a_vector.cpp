// SPDX-License-Identifier: Apache-2.0
// expect: error: .*(static assertion failed|static_assert failed)
// max-lines: 15
#include <ql/backend/cpu/context.hpp>
#include <ql/rl/matrix_optimizers.hpp>

static_assert(ql::rl::optimizer<ql::rl::muon, ql::cpu::context, float, 2>);
#ifdef QL_NEGATIVE
static_assert(ql::rl::optimizer<ql::rl::muon, ql::cpu::context, float, 1>);
#endif
