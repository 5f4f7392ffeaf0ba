// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/instances.hpp"

namespace ql::model {
template decoder<float, cpu::context>::layer_state decoder<float, cpu::context>::recomputed(
    cpu::context&, tape&, unit_work&, std::int64_t, const own_pages<float>&, cpu::context::scratch_scope&);
template void decoder<float, cpu::context>::backward(cpu::context&, tape&, scores<const float>);
}  // namespace ql::model
