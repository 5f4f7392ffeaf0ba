// SPDX-License-Identifier: Apache-2.0
#include <ql/memory_plan.hpp>

namespace ql {
template memory_plan plan_memory<float>(const plan_request&);
}  // namespace ql
