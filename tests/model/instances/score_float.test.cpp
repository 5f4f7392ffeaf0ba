// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/instances.hpp"

namespace ql::model {
template decoder<float, cpu::context>::tape decoder<float, cpu::context>::score(
    cpu::context&, const token_tree&, const lane_plan&, unit_range, const decoder<float, cpu::context>::score_options&,
    scores<float>);
}  // namespace ql::model
