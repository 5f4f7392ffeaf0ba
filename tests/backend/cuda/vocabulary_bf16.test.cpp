// SPDX-License-Identifier: Apache-2.0
#include "backend/cuda/vocabulary.hpp"

namespace ql::test::device {
INSTANTIATE_TYPED_TEST_SUITE_P(Bf16, CudaVocabulary, bf16);
}  // namespace ql::test::device
