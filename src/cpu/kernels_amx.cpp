// SPDX-License-Identifier: Apache-2.0
#include "tables.hpp"

#include <ql/backend/cpu/simd/amx.hpp>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ql::cpu::detail {
namespace {

// bf16 products run on the tiles; everything else is what AVX-512 does.
constexpr kernel_table<float> named(kernel_table<float> t) {
  t.name = "amx";
  return t;
}
constexpr kernel_table<double> named(kernel_table<double> t) {
  t.name = "amx";
  return t;
}
constexpr kernel_table<float> of_float = named(simd::bodies<float, simd::avx512>::table);
constexpr kernel_table<double> of_double = named(simd::bodies<double, simd::avx512>::table);
constexpr kernel_table<bf16> of_bf16 =
    simd::tile_products<simd::amx_tiles>::install(simd::bodies<bf16, simd::avx512>::table, "amx");
constexpr kernel_table<bf16> of_model =
    simd::tile_products<simd::model_tiles>::install(simd::bodies<bf16, simd::avx512>::table, "amx-model");

}  // namespace

const isa_tables amx_tables{&of_float, &of_double, &of_bf16};
const isa_tables amx_model_tables{&of_float, &of_double, &of_model};

bool amx_usable() {
#if defined(__linux__) && defined(__x86_64__)
  unsigned a = 7, b = 0, c = 0, d = 0;
  asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  constexpr unsigned amx_bf16 = 1u << 22, amx_tile = 1u << 24;
  if ((d & amx_bf16) == 0 || (d & amx_tile) == 0) return false;
  constexpr long request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM; threads started later inherit it
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

}  // namespace ql::cpu::detail
