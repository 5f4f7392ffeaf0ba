// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cuda/kernels.hpp>

#include "model/support/device_policy.hpp"

namespace ql::model {
template void decoder<bf16, cuda::emulated_context>::layer_backward(cuda::emulated_context&, tape&, unit_work&,
                                                                    std::int64_t, float*, const layer_state&, key_store,
                                                                    float* const*, const own_pages<float>&);
}  // namespace ql::model
