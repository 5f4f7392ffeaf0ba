// SPDX-License-Identifier: Apache-2.0
// expect: constraint
// max-lines: 12
// A matrix wants two indices.
#include <ql/tensor/view.hpp>

float use(ql::view<const float, 2> v) {
#ifdef QL_NEGATIVE
  return v(1);
#else
  return v(1, 2);
#endif
}
