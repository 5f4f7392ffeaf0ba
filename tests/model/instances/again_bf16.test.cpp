// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/instances.hpp"

namespace ql::model {
template decoder<bf16, cpu::context>::layer_state decoder<bf16, cpu::context>::recomputed(cpu::context&, tape&,
                                                                                          unit_work&, std::int64_t,
                                                                                          const own_pages<bf16>&,
                                                                                          cpu::context::scratch_scope&);
template void decoder<bf16, cpu::context>::backward(cpu::context&, tape&, scores<const float>);
}  // namespace ql::model
