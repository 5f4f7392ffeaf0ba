// SPDX-License-Identifier: Apache-2.0
#if __has_include(<ql/ql.hpp>)
#include <ql/ql.hpp>
#endif
#include <ql/backend/cpu/context.hpp>

int main() { ql::cpu::context ctx; }
