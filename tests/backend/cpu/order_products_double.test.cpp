// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/order_products.hpp"

namespace ql::test::order_products {
INSTANTIATE_TYPED_TEST_SUITE_P(Double, ProductOrder, double);
}  // namespace ql::test::order_products
