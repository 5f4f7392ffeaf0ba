// SPDX-License-Identifier: Apache-2.0
#include "backend/cuda/products.hpp"

namespace ql::test::device {
INSTANTIATE_TYPED_TEST_SUITE_P(Float, CudaProducts, float);
}  // namespace ql::test::device
