// SPDX-License-Identifier: Apache-2.0
#include "tables.hpp"

#include <ql/backend/cpu/simd/bf16_dot.hpp>

namespace ql::cpu::detail {
namespace {
constexpr kernel_table<bf16> of_bf16 = simd::bf16_dot::install(simd::bodies<bf16, simd::avx512>::table);
}
const isa_tables avx512bf16_tables{&simd::bodies<float, simd::avx512>::table,
                                   &simd::bodies<double, simd::avx512>::table, &of_bf16};
}  // namespace ql::cpu::detail
