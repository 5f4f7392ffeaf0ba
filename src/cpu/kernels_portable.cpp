// SPDX-License-Identifier: Apache-2.0
#include "tables.hpp"

#include <ql/backend/cpu/simd/kernels.hpp>

namespace ql::cpu::detail {
const isa_tables portable_tables{&simd::bodies<float, simd::portable>::table,
                                 &simd::bodies<double, simd::portable>::table,
                                 &simd::bodies<bf16, simd::portable>::table};
}  // namespace ql::cpu::detail
