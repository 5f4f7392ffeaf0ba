// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cuda/kernels.hpp>

#include "model/support/device_policy.hpp"

namespace ql::model {
template void decoder<bf16, cuda::emulated_context>::unit_forward(cuda::emulated_context&, tape&, unit_work&, keep,
                                                                  bool, bool);
template decoder<bf16, cuda::emulated_context>::layer_state decoder<bf16, cuda::emulated_context>::recomputed(
    cuda::emulated_context&, tape&, unit_work&, std::int64_t, const own_pages<bf16>&,
    cuda::emulated_context::scratch_scope&);
}  // namespace ql::model
