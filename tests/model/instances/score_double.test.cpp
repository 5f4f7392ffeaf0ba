// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/instances.hpp"

namespace ql::model {
template decoder<double, cpu::context>::tape decoder<double, cpu::context>::score(
    cpu::context&, const token_tree&, const lane_plan&, unit_range, const decoder<double, cpu::context>::score_options&,
    scores<double>);
}  // namespace ql::model
