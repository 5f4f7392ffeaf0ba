// SPDX-License-Identifier: Apache-2.0
#include "tables.hpp"

#include <ql/backend/cpu/simd/kernels.hpp>

namespace ql::cpu::detail {
const isa_tables avx512_tables{&simd::bodies<float, simd::avx512>::table, &simd::bodies<double, simd::avx512>::table,
                               &simd::bodies<bf16, simd::avx512>::table};
}  // namespace ql::cpu::detail
