// SPDX-License-Identifier: Apache-2.0
#include <ql/memory_plan.hpp>

namespace ql::test {
template <class T>
memory_plan plan_of(const plan_request& q) {
  return plan_memory<T>(q);
}
template memory_plan plan_of<float>(const plan_request&);
}  // namespace ql::test
