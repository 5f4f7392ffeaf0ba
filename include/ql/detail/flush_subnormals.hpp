// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace ql::detail {

// Scoped floating-point environment of every ql operation: subnormal inputs and results are zero (FTZ, DAZ), rounding
// to nearest. Matrix units (AMX) know no subnormals, so nothing else may.
class flush_subnormals {
 public:
#if defined(__x86_64__)
  flush_subnormals() : saved_(__builtin_ia32_stmxcsr()) { __builtin_ia32_ldmxcsr((saved_ & ~0x6000u) | 0x8040u); }
  ~flush_subnormals() { __builtin_ia32_ldmxcsr(saved_); }

 private:
  unsigned saved_;
#elif defined(__aarch64__)
  flush_subnormals() {
    asm volatile("mrs %0, fpcr" : "=r"(saved_));
    asm volatile("msr fpcr, %0" ::"r"(saved_ | (1ull << 24)));
  }
  ~flush_subnormals() { asm volatile("msr fpcr, %0" ::"r"(saved_)); }

 private:
  std::uint64_t saved_;
#else
  flush_subnormals() {}
#endif
 public:
  flush_subnormals(const flush_subnormals&) = delete;
  flush_subnormals& operator=(const flush_subnormals&) = delete;
};

}  // namespace ql::detail
