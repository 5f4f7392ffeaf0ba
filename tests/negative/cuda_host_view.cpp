// SPDX-License-Identifier: Apache-2.0
// expect: ql: an argument of this operation is a view of another memory than its context computes in
// expect: copy the values into a ql::tensor of that context first
// max-lines: 12
#include <ql/backend/cuda/emulated.hpp>
#include <ql/backend/cuda/kernels.hpp>

#include <vector>

void norm(ql::cuda::emulated_context& ctx, const float* w) {
  std::vector<float> host(8);
  const ql::view<const float, 2> x(host.data(), {2, 4});
  const ql::view<float, 2, ql::cuda::device_space> y(nullptr, {2, 4});
  const ql::view<const float, 2, ql::cuda::device_space> there(nullptr, {2, 4});
  float* none = nullptr;
  ql::rms_norm(ctx, there, w, 1e-6f, y, none);
#ifdef QL_NEGATIVE
  ql::rms_norm(ctx, x, w, 1e-6f, y, none);
#endif
  (void)x;
}
