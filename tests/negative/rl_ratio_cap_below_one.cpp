// SPDX-License-Identifier: Apache-2.0
// expect: constant expression|non-.constexpr.
// max-lines: 15
#include <ql/rl/policy_loss.hpp>

inline constexpr ql::rl::ratio_cap right{1.0};
#ifdef QL_NEGATIVE
inline constexpr ql::rl::ratio_cap wrong{0.2};
#endif
