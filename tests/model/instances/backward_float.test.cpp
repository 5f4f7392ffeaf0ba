// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/instances.hpp"

namespace ql::model {
template void decoder<float, cpu::context>::unit_backward(cpu::context&, tape&, unit_work&, scores<const float>);
}  // namespace ql::model
