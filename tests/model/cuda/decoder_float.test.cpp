// SPDX-License-Identifier: Apache-2.0
#include "model/support/device_rule.hpp"

namespace ql::test {
INSTANTIATE_TYPED_TEST_SUITE_P(Float, CudaDecoder, float);
}  // namespace ql::test
