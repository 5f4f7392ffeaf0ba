// SPDX-License-Identifier: Apache-2.0
// expect: execution_context
// max-lines: 20
// Something that is no context as the first argument.
#include <ql/dispatch.hpp>

struct some_op {};
inline constexpr ql::operation<some_op> some{};

int main() {
#ifdef QL_NEGATIVE
  int ctx = 0;
  some(ctx);
#endif
  return 0;
}
