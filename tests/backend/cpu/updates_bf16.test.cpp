// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/updates.hpp"

namespace ql::test::updates {
INSTANTIATE_TYPED_TEST_SUITE_P(Bf16, Updates, ql::bf16);
INSTANTIATE_TYPED_TEST_SUITE_P(Bf16, UpdatesThreads, ql::bf16);
}  // namespace ql::test::updates
