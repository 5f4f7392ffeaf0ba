// SPDX-License-Identifier: Apache-2.0
#include "backend/cuda/vocabulary.hpp"

namespace ql::test::device {
INSTANTIATE_TYPED_TEST_SUITE_P(Float, CudaVocabulary, float);
}  // namespace ql::test::device
