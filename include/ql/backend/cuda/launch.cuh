// SPDX-License-Identifier: Apache-2.0
#pragma once

// The block of a device, and launches of bodies on it. For nvcc; compile with
//   --expt-relaxed-constexpr -fmad=false -ftz=true -prec-div=true -prec-sqrt=true
// so that no product is fused into a sum and subnormals are zero, as docs/numerics.md asks.

#include <ql/backend/cuda/device.hpp>

#include <cuda_runtime.h>

#include <type_traits>

namespace ql::cuda {

extern __shared__ __align__(16) unsigned char shared_memory[];

// What block.hpp describes, where a phase is the thread itself.
class device_block {
 public:
  __device__ __forceinline__ std::int64_t index() const { return blockIdx.x; }

  template <class F>
  __device__ __forceinline__ void each(F&& f) {
    f(static_cast<int>(threadIdx.x));
  }
  __device__ __forceinline__ void sync() { __syncthreads(); }

  template <class E>
  struct registers {
    __device__ __forceinline__ explicit registers(device_block&) {}
    __device__ __forceinline__ E& operator[](int) { return value; }
    E value;
  };

  template <class E>
  struct shared {
    E* p;
    __device__ __forceinline__ E get(std::int64_t i) const { return p[i]; }
    __device__ __forceinline__ void set(std::int64_t i, E v) { p[i] = v; }
    __device__ __forceinline__ std::uint32_t pair(std::int64_t i) const {
      return *reinterpret_cast<const std::uint32_t*>(p + i);
    }
  };
  template <class E>
  __device__ __forceinline__ shared<E> share(std::int64_t n) {
    auto* p = reinterpret_cast<E*>(shared_memory + used_);
    used_ += shared_size<E>(n);
    return {p};
  }

  template <class R>
  __device__ __forceinline__ void warp_sum(R& r) {
    QL_UNROLL
    for (int offset = warp_lanes / 2; offset > 0; offset /= 2) r[0] = r[0] + __shfl_xor_sync(0xffffffffu, r[0], offset);
  }
  template <class R>
  __device__ __forceinline__ void warp_max(R& r) {
    QL_UNROLL
    for (int offset = warp_lanes / 2; offset > 0; offset /= 2)
      r[0] = math::max(r[0], __shfl_xor_sync(0xffffffffu, r[0], offset));
  }

  template <class C, class FA, class FB>
  __device__ __forceinline__ void mma(C& c, int first, FA& a, FB& b) {
    float* x = c[0].x + first;
    const std::uint32_t *u = a[0].x, *v = b[0].x;
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};\n"
        : "+f"(x[0]), "+f"(x[1]), "+f"(x[2]), "+f"(x[3])
        : "r"(u[0]), "r"(u[1]), "r"(u[2]), "r"(u[3]), "r"(v[0]), "r"(v[1]));
  }

 private:
  std::int64_t used_ = 0;
};

template <class Body>
__global__ void __launch_bounds__(block_threads, 1) body_kernel(const __grid_constant__ typename Body::arguments a) {
  device_block b;
  Body::run(b, a);
}

template <class Body>
void device::launch(const launch_shape& shape, const typename Body::arguments& a) {
  static_assert(std::is_trivially_copyable_v<typename Body::arguments>, "a kernel's arguments are copied by bytes");
  const auto* kernel = reinterpret_cast<const void*>(&body_kernel<Body>);
  prepare(kernel, shape);
  body_kernel<Body><<<static_cast<unsigned>(shape.blocks), block_threads, static_cast<std::size_t>(shape.shared_bytes),
                      static_cast<cudaStream_t>(stream_)>>>(a);
  launched(__PRETTY_FUNCTION__);
}

}  // namespace ql::cuda
