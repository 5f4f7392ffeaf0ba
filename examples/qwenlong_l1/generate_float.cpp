// SPDX-License-Identifier: Apache-2.0
#include "policy_generate.hpp"

namespace ql::tool {
template std::vector<float> policy_of<float>::logits_after(std::span<const token>);
template generation policy_of<float>::generate(std::span<const token>, const sampling&,
                                               const std::function<void(std::size_t, token)>&);
}  // namespace ql::tool
