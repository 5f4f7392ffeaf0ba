// SPDX-License-Identifier: Apache-2.0
// expect: reward
// max-lines: 15
#include <ql/rl/reward.hpp>

struct rule {
  ql::rl::outcome operator()(const ql::rl::graded_item&) const { return ql::rl::scored{1}; }
};
struct number {
  double operator()(const ql::rl::graded_item&) const { return 1; }
};
ql::rl::max_of<rule, rule> right{};
#ifdef QL_NEGATIVE
ql::rl::max_of<rule, number> wrong{};
#endif
