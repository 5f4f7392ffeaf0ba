// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/attention.hpp"

namespace ql::test::attention {
INSTANTIATE_TYPED_TEST_SUITE_P(Double, Attention, double);
INSTANTIATE_TYPED_TEST_SUITE_P(Double, AttentionThreads, double);
}  // namespace ql::test::attention
