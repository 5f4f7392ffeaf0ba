// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "model/support/instances.hpp"

namespace ql::model {
template decoder<double, cpu::context>::layer_state decoder<double, cpu::context>::recomputed(
    cpu::context&, tape&, unit_work&, std::int64_t, const own_pages<double>&, cpu::context::scratch_scope&);
template void decoder<double, cpu::context>::backward(cpu::context&, tape&, scores<const double>);
}  // namespace ql::model
