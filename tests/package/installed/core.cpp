// SPDX-License-Identifier: Apache-2.0
#include <ql/version.hpp>
#if __has_include(<ql/core.hpp>)
#include <ql/core.hpp>
#endif
#include <ql/error.hpp>

int main() {
  try {
    throw ql::error("from the installed headers");
  } catch (const ql::error&) {
    return 0;
  }
}
