// SPDX-License-Identifier: Apache-2.0
#include "model/support/device_policy_code.hpp"

namespace ql::test {
template class device_policy<bf16>;
}  // namespace ql::test
