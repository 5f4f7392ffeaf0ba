// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/instances.hpp"

namespace ql::model {
template decoder<bf16, cpu::context>::tape decoder<bf16, cpu::context>::score(
    cpu::context&, const token_tree&, const lane_plan&, unit_range, const decoder<bf16, cpu::context>::score_options&,
    scores<float>);
}  // namespace ql::model
