// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/updates.hpp"

namespace ql::test::updates {
INSTANTIATE_TYPED_TEST_SUITE_P(Float, Updates, float);
INSTANTIATE_TYPED_TEST_SUITE_P(Float, UpdatesThreads, float);
}  // namespace ql::test::updates
