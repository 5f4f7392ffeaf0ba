// SPDX-License-Identifier: Apache-2.0
#include <ql/backend/cpu/context.hpp>

int main() {
  ql::cpu::context ctx;
  ctx.synchronize();
}
