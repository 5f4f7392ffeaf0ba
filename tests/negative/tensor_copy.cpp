// SPDX-License-Identifier: Apache-2.0
// expect-gcc: use of deleted function
// expect-clang: implicitly deleted|deleted function
// max-lines: 8
// A tensor is moved; copies of memory are asked for by name.
#include <ql/backend/cpu/context.hpp>
#include <ql/tensor/tensor.hpp>

#include <utility>

using matrix = ql::tensor<float, 2, ql::cpu::context>;
matrix use(matrix& t) {
#ifdef QL_NEGATIVE
  return matrix(t);
#else
  return std::move(t);
#endif
}
