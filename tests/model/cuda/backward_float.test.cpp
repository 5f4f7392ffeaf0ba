// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cuda/kernels.hpp>

#include "model/support/device_policy.hpp"

namespace ql::model {
template void decoder<float, cuda::emulated_context>::unit_backward(cuda::emulated_context&, tape&, unit_work&,
                                                                    scores<const float>);
}  // namespace ql::model
