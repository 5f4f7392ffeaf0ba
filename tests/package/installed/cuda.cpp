// SPDX-License-Identifier: Apache-2.0
// Starts with or without a driver.
#include <ql/backend/cuda/device.hpp>
#include <ql/backend/cuda/kernels.hpp>

#include <cstdio>

int main() {
  const auto have = ql::cuda::available();
  if (have) {
    ql::cuda::context ctx;
    auto scope = ctx.scratch();
    float* x = scope.take<float>(4);
    ql::clear(ctx, x, 4);
    return ql::sum_of_squares(ctx, static_cast<const float*>(x), 4) == 0.0 ? 0 : 1;
  }
  std::puts(have.why.c_str());
  return have.why.empty() ? 1 : 0;
}
