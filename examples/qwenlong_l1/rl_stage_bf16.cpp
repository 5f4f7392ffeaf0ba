// SPDX-License-Identifier: Apache-2.0
#include "rl_stage_of.hpp"

namespace ql::qwenlong {
template class rl_stage<bf16>;
template std::vector<group<float>> answer_groups<bf16>(cpu::context&, policy_of<bf16>&, any_task&,
                                                       std::span<const std::int64_t>, const answer_options&);
}  // namespace ql::qwenlong
