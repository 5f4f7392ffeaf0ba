// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/row_rule.hpp"

namespace ql::test::row_rule {
INSTANTIATE_TYPED_TEST_SUITE_P(Float, RowRule, float);
INSTANTIATE_TYPED_TEST_SUITE_P(Float, RowRuleThreads, float);
}  // namespace ql::test::row_rule
