// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/same_bits.hpp"

namespace ql::test {
INSTANTIATE_TYPED_TEST_SUITE_P(Bf16, SameBits, ql::bf16);
}  // namespace ql::test
