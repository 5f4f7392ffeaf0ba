// SPDX-License-Identifier: Apache-2.0
#include "rl_stage_of.hpp"

namespace ql::qwenlong {
template class rl_stage<float>;
template std::vector<group<float>> answer_groups<float>(cpu::context&, policy_of<float>&, any_task&,
                                                        std::span<const std::int64_t>, const answer_options&);
}  // namespace ql::qwenlong
