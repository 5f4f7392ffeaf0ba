// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/updates.hpp"

namespace ql::test::updates {
INSTANTIATE_TYPED_TEST_SUITE_P(Double, Updates, double);
INSTANTIATE_TYPED_TEST_SUITE_P(Double, UpdatesThreads, double);
}  // namespace ql::test::updates
