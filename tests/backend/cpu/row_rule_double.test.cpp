// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/row_rule.hpp"

namespace ql::test::row_rule {
INSTANTIATE_TYPED_TEST_SUITE_P(Double, RowRule, double);
INSTANTIATE_TYPED_TEST_SUITE_P(Double, RowRuleThreads, double);
}  // namespace ql::test::row_rule
