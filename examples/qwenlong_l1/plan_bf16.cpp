// SPDX-License-Identifier: Apache-2.0
#include <ql/memory_plan.hpp>

namespace ql {
template memory_plan plan_memory<bf16>(const plan_request&);
}  // namespace ql
