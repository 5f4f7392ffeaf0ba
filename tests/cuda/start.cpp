// SPDX-License-Identifier: Apache-2.0
// A program that links the CUDA backend starts where there is no driver, and says so in words. Where there is a device
// it is used once. Usage: start
#include <ql/backend/cuda/device.hpp>
#include <ql/backend/cuda/kernels.hpp>

#include <cstdio>
#include <vector>

int main() {
  const auto have = ql::cuda::available();
  if (!have) {
    std::printf("no device: %s\n", have.why.c_str());
    if (have.why.empty()) return 1;
    try {
      ql::cuda::context ctx;
    } catch (const ql::backend_error& e) {
      std::printf("%s\n", e.what());
      return std::string(e.what()).find(have.why) == std::string::npos ? 1 : 0;
    }
    return 1;  // a context of no device
  }
  ql::cuda::context ctx;
  std::printf("%s, compute capability %d\n", ctx.device().name().c_str(), ctx.device().compute_capability());
  std::vector<float> x(1000, 2.0f), y(1000, 3.0f);
  auto scope = ctx.scratch();
  float* to = scope.copy(std::span<const float>(y));
  ql::fold(ctx, static_cast<const float*>(scope.copy(std::span<const float>(x))), 1000, to);
  ctx.copy_out(static_cast<const float*>(to), 1000, y.data());
  for (float v : y)
    if (v != 5.0f) return 1;
  return 0;
}
