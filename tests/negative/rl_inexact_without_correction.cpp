// SPDX-License-Identifier: Apache-2.0
// expect: correction_for
// max-lines: 15
#include <ql/rl/correction.hpp>

template <bool PolicyIsExact, class Correction>
  requires ql::rl::correction_for<Correction, PolicyIsExact>
void train(Correction) {}

void use() {
  train<true>(ql::rl::no_correction{});
  train<false>(ql::rl::token_tis{});
#ifdef QL_NEGATIVE
  train<false>(ql::rl::no_correction{});
#endif
}
