// SPDX-License-Identifier: Apache-2.0
// The runtime's side of a device. The runtime library finds the driver by itself when it is first asked, so that a
// program that links this starts without one.
#include <ql/backend/cuda/device.hpp>

#include <cstdint>
#include <string>

#include "check.hpp"

namespace ql::cuda {
namespace {

// The lowest architecture of QL_CUDA_ARCHITECTURES (mma.sync m16n8k16 with bf16 needs 80).
constexpr int least_capability = 80;

}  // namespace

availability available() {
  availability a;
  int n = 0;
  const cudaError_t e = cudaGetDeviceCount(&n);
  if (e == cudaSuccess && n > 0) {
    a.devices = n;
    return a;
  }
  cudaGetLastError();  // asked once; the next call starts afresh
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  const auto version = [](int v) { return std::to_string(v / 1000) + "." + std::to_string(v % 1000 / 10); };
  if (driver == 0) {
    a.why = "no CUDA driver is installed on this machine (libcuda.so.1 was not found); ql::cpu needs none";
  } else if (e == cudaErrorInsufficientDriver) {
    a.why = "the driver is for CUDA " + version(driver) + ", this program for " + version(runtime) +
            "; install a newer driver";
  } else if (e == cudaErrorNoDevice || n == 0) {
    a.why = "the driver sees no device; is CUDA_VISIBLE_DEVICES empty?";
  } else {
    a.why = error_text(e);
  }
  return a;
}

device::device(const options& o) : index_(o.index) {
  const auto have = available();
  ql::detail::expects<backend_error>(static_cast<bool>(have), "cuda::device", "device", "a CUDA device", have.why);
  ql::detail::expects<backend_error>(o.index >= 0 && o.index < have.devices, "cuda::device", "index",
                                     "0 to " + std::to_string(have.devices - 1), o.index);
  check(cudaSetDevice(index_), "cudaSetDevice");
  cudaDeviceProp properties;
  check(cudaGetDeviceProperties(&properties, index_), "cudaGetDeviceProperties");
  name_ = properties.name;
  capability_ = properties.major * 10 + properties.minor;
  memory_ = static_cast<std::int64_t>(properties.totalGlobalMem);
  shared_bytes_ = static_cast<std::int64_t>(properties.sharedMemPerBlockOptin);
  ql::detail::expects<backend_error>(
      capability_ >= least_capability, "cuda::device", "architecture", "compute capability 8.0 (Ampere) or newer",
      name_ + " with " + std::to_string(properties.major) + "." + std::to_string(properties.minor));
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  stream_ = stream;
  cudaMemPool_t pool = nullptr;
  check(cudaDeviceGetDefaultMemPool(&pool, index_), "cudaDeviceGetDefaultMemPool");
  std::uint64_t keep = UINT64_MAX;  // memory given back stays with the process
  check(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "cudaMemPoolSetAttribute");
}

device::~device() {
  if (stream_ != nullptr) {
    cudaStreamSynchronize(static_cast<cudaStream_t>(stream_));
    cudaStreamDestroy(static_cast<cudaStream_t>(stream_));
  }
}

void* device::allocate(std::size_t bytes) {
  void* p = nullptr;
  const cudaError_t e = cudaMallocAsync(&p, bytes, static_cast<cudaStream_t>(stream_));
  if (e == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    std::size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    ql::detail::fail<backend_error>(
        "cuda", "device memory",
        "room for " + std::to_string(bytes) +
            " bytes (smaller units: lane_options::unit_tokens; less kept: keep::inputs or keep::nothing)",
        std::to_string(free) + " of " + std::to_string(total) + " bytes free on " + name_);
  }
  check(e, "cudaMallocAsync");
  return p;
}
void device::deallocate(void* p, std::size_t) noexcept { cudaFreeAsync(p, static_cast<cudaStream_t>(stream_)); }

void device::copy_in(void* to, const void* from, std::size_t bytes) {
  // from pageable memory the source is staged before the call returns
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, static_cast<cudaStream_t>(stream_)),
        "copy to the device");
}
void device::copy_out(void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, static_cast<cudaStream_t>(stream_)),
        "copy from the device");
  synchronize();
}
void device::clear(void* p, std::size_t bytes) {
  check(cudaMemsetAsync(p, 0, bytes, static_cast<cudaStream_t>(stream_)), "cudaMemsetAsync");
}
void device::synchronize() { check(cudaStreamSynchronize(static_cast<cudaStream_t>(stream_)), "synchronize"); }

void device::prepare(const void* kernel, const launch_shape& shape) {
  ql::detail::expects<backend_error>(shape.blocks <= INT32_MAX, "cuda", "launch", "at most 2^31 - 1 blocks",
                                     shape.blocks);
  if (shape.shared_bytes <= 48 << 10) return;
  ql::detail::expects<backend_error>(shape.shared_bytes <= shared_bytes_, "cuda", "shared memory of a block",
                                     "at most " + std::to_string(shared_bytes_) + " bytes on " + name_,
                                     shape.shared_bytes);
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shape.shared_bytes)),
        "cudaFuncSetAttribute");
}
void device::launched(const char* what) { check(cudaGetLastError(), what); }

}  // namespace ql::cuda
