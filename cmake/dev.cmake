# SPDX-License-Identifier: Apache-2.0
# ql_dev: warnings for ql's own sources. Never exported; linked as PRIVATE $<BUILD_INTERFACE:ql_dev>.
add_library(ql_dev INTERFACE)
set(QL_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
if(QL_DEV AND CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
  target_compile_options(ql_dev INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${QL_WARNINGS}>")
endif()
