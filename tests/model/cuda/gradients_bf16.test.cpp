// SPDX-License-Identifier: Apache-2.0
#include "model/support/device_gradients.hpp"

namespace ql::test {
INSTANTIATE_TYPED_TEST_SUITE_P(Bf16, CudaDecoderGradients, bf16);
}  // namespace ql::test
