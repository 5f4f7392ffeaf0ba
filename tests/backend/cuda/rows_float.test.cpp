// SPDX-License-Identifier: Apache-2.0
#include "backend/cuda/rows.hpp"

namespace ql::test::device {
INSTANTIATE_TYPED_TEST_SUITE_P(Float, CudaRows, float);
}  // namespace ql::test::device
