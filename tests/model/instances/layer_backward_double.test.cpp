// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/instances.hpp"

namespace ql::model {
template void decoder<double, cpu::context>::layer_backward(cpu::context&, tape&, unit_work&, std::int64_t, double*,
                                                            const layer_state&, key_store, double* const*,
                                                            const own_pages<double>&);
}  // namespace ql::model
