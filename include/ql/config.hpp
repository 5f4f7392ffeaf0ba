// SPDX-License-Identifier: Apache-2.0
#pragma once

// The only macros of ql. None of them changes the meaning of a public type.

#if defined(__CUDACC__)
#define QL_HD __host__ __device__             // compiled for host and device
#define QL_DEVICE __device__ __forceinline__  // a kernel's body: for the device under nvcc, for its emulation elsewhere
#define QL_UNROLL _Pragma("unroll")
#else
#define QL_HD
#define QL_DEVICE inline
#define QL_UNROLL
#endif

#define QL_RESTRICT __restrict
#define QL_INLINE \
  inline __attribute__((always_inline))  // no copy of its own, so none compiled for another instruction set
