// SPDX-License-Identifier: Apache-2.0
// expect: ratio_cap
// max-lines: 15
#include <ql/rl/policy_loss.hpp>

inline constexpr ql::rl::cispo right{.cap = ql::rl::ratio_cap{1.28}};
#ifdef QL_NEGATIVE
inline constexpr ql::rl::cispo wrong{.cap = 0.2};
#endif
