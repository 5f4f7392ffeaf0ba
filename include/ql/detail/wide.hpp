// SPDX-License-Identifier: Apache-2.0
#pragma once

// Runs a loop with the processor's vector instructions, also in a program that was compiled for an older one and with
// -O2 alone.

#include <ql/config.hpp>

namespace ql::detail {

// What wide() calls. g++ turns min and max into branches that share comparisons ("jump threading") and does not
// vectorise a loop that holds such branches; without that optimization it does.
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
#elif defined(__clang__)
template <class F>
[[gnu::flatten, gnu::noinline]] void run_wide(F& f) {
  f();
}
#elif defined(__x86_64__)
template <class F>
[[gnu::target("avx2,fma"), gnu::optimize("no-thread-jumps"), gnu::flatten, gnu::noinline]] void run_wide(F& f) {
  f();
}
#else
template <class F>
[[gnu::optimize("no-thread-jumps"), gnu::flatten, gnu::noinline]] void run_wide(F& f) {
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

}  // namespace ql::detail
