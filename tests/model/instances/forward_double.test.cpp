// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/instances.hpp"

namespace ql::model {
template void decoder<double, cpu::context>::unit_forward(cpu::context&, tape&, unit_work&, keep, bool, bool);
}  // namespace ql::model
