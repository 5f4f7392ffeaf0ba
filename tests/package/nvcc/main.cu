// SPDX-License-Identifier: Apache-2.0
// A stranger's CUDA program: ql's algorithms in host code that nvcc compiles, and a loss of ql inside a kernel of the
// stranger's own. Where a device is present both give the same bits.
#include <ql/core.hpp>
#include <ql/rl/advantage.hpp>
#include <ql/rl/policy_loss.hpp>

#include <cstdio>
#include <cstring>
#include <vector>

using term = ql::rl::token_term<float>;

__host__ __device__ float gradient(const ql::rl::clip& loss, float advantage) {
  return loss(term{-1.0f, -1.25f, 0, 0, 0, advantage}).dlogp;
}
__global__ void gradients(ql::rl::clip loss, const float* advantage, int n, float* dlogp) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) dlogp[i] = gradient(loss, advantage[i]);
}

int main() {
  const std::vector<float> reward{1, 0, 0, 1};
  const std::vector<std::int64_t> groups{0, 2, 4};
  std::vector<float> advantage(4), dlogp(4);
  ql::rl::outcome_batch<float> outcomes;
  outcomes.reward = reward, outcomes.groups = groups;
  ql::rl::grpo_advantage{}(outcomes, ql::view<float, 1>(advantage));
  for (std::size_t i = 0; i < 4; ++i) dlogp[i] = gradient(ql::rl::clip_higher, advantage[i]);
  if (!(advantage[0] > 0 && advantage[1] == -advantage[0] && dlogp[0] == 0 && dlogp[1] > 0)) return 1;

  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) return std::puts("no device: host code alone"), 0;
  float *a = nullptr, *d = nullptr;
  if (cudaMalloc(&a, 16) != cudaSuccess || cudaMalloc(&d, 16) != cudaSuccess) return 2;
  cudaMemcpy(a, advantage.data(), 16, cudaMemcpyHostToDevice);
  gradients<<<1, 32>>>(ql::rl::clip_higher, a, 4, d);
  std::vector<float> there(4);
  if (cudaMemcpy(there.data(), d, 16, cudaMemcpyDeviceToHost) != cudaSuccess) return 3;
  return std::memcmp(there.data(), dlogp.data(), 16) == 0 ? 0 : 4;
}
