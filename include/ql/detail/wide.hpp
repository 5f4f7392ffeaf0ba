// SPDX-License-Identifier: Apache-2.0
#pragma once

// Runs a loop with the processor's vector instructions, also in a program that was compiled for an older one and with
// -O2 alone.

#include <ql/config.hpp>

namespace ql::detail {

// What wide() and widest() call. g++ turns min and max into branches that share comparisons ("jump threading") and does
// not vectorise a loop that holds such branches; without that optimization it does. Nor may it make a call or a string
// instruction of a loop that copies some lines of the first-level cache.
#if defined(__CUDACC__) || !defined(__GNUC__)
template <class F>
void run_wide(F& f) {
  f();
}
#elif defined(__clang__) && defined(__x86_64__)
template <class F>
[[gnu::target("avx2,fma"), gnu::flatten, gnu::noinline]] void run_wide(F& f) {
  f();
}
template <class F>
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"), gnu::flatten, gnu::noinline]] void run_widest(F& f) {
  f();
}
#elif defined(__clang__)
template <class F>
[[gnu::flatten, gnu::noinline]] void run_wide(F& f) {
  f();
}
#elif defined(__x86_64__)
template <class F>
[[gnu::target("avx2,fma"), gnu::optimize("no-thread-jumps,no-tree-loop-distribute-patterns"), gnu::flatten,
  gnu::noinline]] void
run_wide(F& f) {
  f();
}
template <class F>
[[gnu::target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512"),
  gnu::optimize("no-thread-jumps,no-tree-loop-distribute-patterns"), gnu::flatten, gnu::noinline]] void
run_widest(F& f) {
  f();
}
#else
template <class F>
[[gnu::optimize("no-thread-jumps,no-tree-loop-distribute-patterns"), gnu::flatten, gnu::noinline]] void run_wide(F& f) {
  f();
}
#endif

// f(). On x86-64 compiled twice and chosen on the processor's feature bits, unless the program is compiled for AVX2 and
// FMA anyway: ql spells its arithmetic with explicit fma, so that its bits do not depend on the instruction set, and
// without the instruction each fma is a call into libm. f profits if all it calls is inlined: captures by value, local
// arrays, loops of a constant length.
template <class F>
QL_INLINE void wide(F f) {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__CUDACC__) && !(defined(__AVX2__) && defined(__FMA__))
  if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))) {
    f();
    return;
  }
#endif
  run_wide(f);
}

// Does this processor run what run_widest() holds?
inline bool has_widest() {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__CUDACC__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
#else
  return false;
#endif
}

// wide(f) with a third copy for AVX-512, for loops that instructions bind and not memory.
template <class F>
QL_INLINE void widest(F f) {
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__CUDACC__)
  if (has_widest()) {
    run_widest(f);
    return;
  }
#endif
  wide(f);
}

}  // namespace ql::detail
