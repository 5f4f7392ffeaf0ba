// SPDX-License-Identifier: Apache-2.0
#include "model/support/device_policy_code.hpp"

namespace ql::test {
template void device_policy<bf16>::score(const token_tree&, const distribution&, const frozen_support*, model::keep,
                                         std::span<float>, std::span<float>);
template void device_policy<bf16>::backward(std::span<const float>, std::span<const float>);
}  // namespace ql::test
