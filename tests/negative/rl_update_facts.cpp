// SPDX-License-Identifier: Apache-2.0
// expect: error: .*static assertion failed|error: .*static_assert failed
// max-lines: 15
#include <ql/rl/advantage.hpp>
#include <ql/rl/consistency.hpp>
#include <ql/rl/policy_loss.hpp>

constexpr ql::rl::update_facts facts(std::int64_t answers) {
  auto f = ql::rl::facts_of(ql::rl::clip{}, ql::rl::grpo_advantage{});
  f.group_size = answers;
  return f;
}
static_assert(ql::rl::valid(facts(8)));
#ifdef QL_NEGATIVE
static_assert(ql::rl::valid(facts(1)));  // an advantage relative to a group of one
#endif
