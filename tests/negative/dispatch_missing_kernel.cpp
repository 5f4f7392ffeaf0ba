// SPDX-License-Identifier: Apache-2.0
// expect: ql: no kernel for this operation on this backend; include the backend's kernels before you use it
// expect: <ql/backend/cpu/kernels.hpp>
// max-lines: 8
// An operation is called, but nobody included the kernels of the context's backend.
#include <ql/backend/cpu/context.hpp>
#include <ql/tensor/operations.hpp>

void use(ql::cpu::context& ctx, float* x) {
  (void)ctx, (void)x;
#ifdef QL_NEGATIVE
  ql::clear(ctx, x, 4);
#endif
}
