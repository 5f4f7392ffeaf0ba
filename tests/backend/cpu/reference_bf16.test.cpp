// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/reference.hpp"

namespace ql::test::reference {
INSTANTIATE_TYPED_TEST_SUITE_P(Bf16, Reference, ql::bf16);
}  // namespace ql::test::reference
