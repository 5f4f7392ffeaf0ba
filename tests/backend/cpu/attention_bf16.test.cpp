// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/attention.hpp"

namespace ql::test::attention {
INSTANTIATE_TYPED_TEST_SUITE_P(Bf16, Attention, ql::bf16);
INSTANTIATE_TYPED_TEST_SUITE_P(Bf16, AttentionThreads, ql::bf16);
}  // namespace ql::test::attention
