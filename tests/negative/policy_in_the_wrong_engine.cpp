// SPDX-License-Identifier: Apache-2.0
// first: error: static.*ql: session_engine samples from ql::model::decoder; a policy of another kind brings its own
// A policy of another framework, sampled by the engine for ql's own decoder.
#include <ql/backend/cpu/kernels.hpp>

#include "support/policy.hpp"

#ifdef QL_NEGATIVE
using mine = foreign_policy;
#else
using mine = ql::model::decoder<float, ql::cpu::context>;
#endif

void use(mine::context_type& ctx, mine& p) {
  documents task;
  ql::rl::stochastic sampler;
  ql::rollout_report said;
  ql::session_engine{}(ctx, p, task, {}, {}, sampler, said, [](std::int64_t) {});
}
