// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/instances.hpp"

namespace ql::model {
template void decoder<bf16, cpu::context>::attend_by_heads(cpu::context&, tape&, const unit_work&, std::int64_t,
                                                           const own_pages<bf16>&, const layer_state&, bool);
template void decoder<bf16, cpu::context>::attend_by_heads_dx(cpu::context&, tape&, const unit_work&, std::int64_t,
                                                              const layer_state&, const float*, float*, float* const*,
                                                              const own_pages<float>&);
}  // namespace ql::model
