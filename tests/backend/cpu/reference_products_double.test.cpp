// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/reference_products.hpp"

namespace ql::test::reference_products {
INSTANTIATE_TYPED_TEST_SUITE_P(Double, ReferenceProducts, double);
}  // namespace ql::test::reference_products
