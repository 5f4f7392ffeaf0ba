// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/attention.hpp"

namespace ql::test::attention {
INSTANTIATE_TYPED_TEST_SUITE_P(Float, Attention, float);
INSTANTIATE_TYPED_TEST_SUITE_P(Float, AttentionThreads, float);
}  // namespace ql::test::attention
