// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ql/backend/cpu/kernel_table.hpp>

namespace ql::cpu::detail {

struct isa_tables {
  const kernel_table<float>* of_float;
  const kernel_table<double>* of_double;
  const kernel_table<bf16>* of_bf16;
};

extern const isa_tables portable_tables;
extern const isa_tables avx2_tables;
extern const isa_tables avx512_tables;
extern const isa_tables avx512bf16_tables;  // bits of their own: never chosen unasked
extern const isa_tables amx_tables;
extern const isa_tables amx_model_tables;  // the AMX kernels over a scalar model of their instructions: for tests

bool amx_usable();  // asks the kernel for the tile registers

}  // namespace ql::cpu::detail
