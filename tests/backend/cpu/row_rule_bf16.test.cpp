// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/row_rule.hpp"

namespace ql::test::row_rule {
INSTANTIATE_TYPED_TEST_SUITE_P(Bf16, RowRule, ql::bf16);
INSTANTIATE_TYPED_TEST_SUITE_P(Bf16, RowRuleThreads, ql::bf16);
}  // namespace ql::test::row_rule
