// SPDX-License-Identifier: Apache-2.0
#include "model/support/device_policy_code.hpp"

namespace ql::test {
template model::rollout<float> device_policy<float>::grow(std::span<const token>, std::span<const std::int64_t>,
                                                          any_sampler<float>, std::int64_t);
}  // namespace ql::test
