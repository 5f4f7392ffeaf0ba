// SPDX-License-Identifier: Apache-2.0
#include "backend/cuda/draws.hpp"

namespace ql::test::device {
INSTANTIATE_TYPED_TEST_SUITE_P(Float, CudaDraws, float);
}  // namespace ql::test::device
