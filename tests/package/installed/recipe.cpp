// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <boost/hana/map.hpp>
#include <ql/backend/cpu/context.hpp>

int main() {
  ql::cpu::context ctx;
  return fmt::format("{}", 1) == "1" ? 0 : 1;
}
