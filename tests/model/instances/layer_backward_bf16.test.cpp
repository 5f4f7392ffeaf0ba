// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/instances.hpp"

namespace ql::model {
template void decoder<bf16, cpu::context>::layer_backward(cpu::context&, tape&, unit_work&, std::int64_t, float*,
                                                          const layer_state&, key_store, float* const*,
                                                          const own_pages<float>&);
}  // namespace ql::model
