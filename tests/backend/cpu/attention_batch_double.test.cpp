// SPDX-License-Identifier: Apache-2.0
#include "backend/cpu/attention_batch_code.hpp"

namespace ql::test {
template struct attention_batch<double>;
}  // namespace ql::test
