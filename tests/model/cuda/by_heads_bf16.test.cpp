// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cuda/kernels.hpp>

#include "model/support/device_policy.hpp"

namespace ql::model {
template void decoder<bf16, cuda::emulated_context>::attend_by_heads(cuda::emulated_context&, tape&, const unit_work&,
                                                                     std::int64_t, const own_pages<bf16>&,
                                                                     const layer_state&, bool);
template void decoder<bf16, cuda::emulated_context>::attend_by_heads_dx(cuda::emulated_context&, tape&,
                                                                        const unit_work&, std::int64_t,
                                                                        const layer_state&, const float*, float*,
                                                                        float* const*, const own_pages<float>&);
}  // namespace ql::model
