// SPDX-License-Identifier: Apache-2.0
#include "policy_generate.hpp"

namespace ql::tool {
template std::vector<float> policy_of<bf16>::logits_after(std::span<const token>);
template generation policy_of<bf16>::generate(std::span<const token>, const sampling&,
                                              const std::function<void(std::size_t, token)>&);
}  // namespace ql::tool
