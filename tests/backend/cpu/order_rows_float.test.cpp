// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/order_rows.hpp"

namespace ql::test::order_rows {
INSTANTIATE_TYPED_TEST_SUITE_P(Float, RowOrder, float);
}  // namespace ql::test::order_rows
