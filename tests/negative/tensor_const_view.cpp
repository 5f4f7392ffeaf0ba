// SPDX-License-Identifier: Apache-2.0
// expect-gcc: could not convert|conversion from|cannot convert
// expect-clang: no viable conversion|no known conversion
// max-lines: 24
// A view of constants does not become a view that writes.
#include <ql/tensor/view.hpp>

void fill(ql::view<float, 2> v);

void use(ql::view<const float, 2> v, ql::view<float, 2> w) {
  fill(w);
  (void)v;
#ifdef QL_NEGATIVE
  fill(v);
#endif
}
