// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/kernels.hpp>

#include "train_with.hpp"

namespace ql::qwenlong {
template bool train_with<bf16>(const train_request&, const train_settings&, const std::function<bool()>&);
}  // namespace ql::qwenlong
