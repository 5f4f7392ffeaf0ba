// SPDX-License-Identifier: Apache-2.0
#include "policy_answer.hpp"

namespace ql::tool {
template std::vector<std::vector<eval::generation>> policy_of<float>::answer_all(
    std::span<const eval::generation_request>, const eval::protocol&, const answering&);
}  // namespace ql::tool
