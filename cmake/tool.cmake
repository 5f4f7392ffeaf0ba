# SPDX-License-Identifier: Apache-2.0
# examples/qwenlong_l1/ is the program qwenlong-l1, in <build>/bin. tests/tool/NAME.py is the test tool.NAME: it is given
# the program and the folder of the test data.
find_package(CLI11 QUIET)
if(NOT TARGET CLI11::CLI11 OR NOT TARGET ql_io OR NOT TARGET ql_cpu_kernels)
  message(STATUS "The program qwenlong-l1 is left out: it needs ql::io, the CPU kernels and CLI11 (Debian: libcli11-dev)")
  return()
endif()

file(GLOB_RECURSE _ql_tool_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/examples/qwenlong_l1/*.cpp")
add_executable(qwenlong-l1 ${_ql_tool_sources})
set_target_properties(qwenlong-l1 PROPERTIES CXX_EXTENSIONS OFF RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bin")
target_include_directories(qwenlong-l1 PRIVATE "${PROJECT_SOURCE_DIR}/examples/qwenlong_l1")
target_link_libraries(qwenlong-l1 PRIVATE ql::ql CLI11::CLI11 $<BUILD_INTERFACE:ql_dev>)
if(TARGET ql_mpi) # several processes do a run together
  target_link_libraries(qwenlong-l1 PRIVATE ql::mpi)
  set_source_files_properties("${PROJECT_SOURCE_DIR}/examples/qwenlong_l1/ranks.cpp" PROPERTIES COMPILE_DEFINITIONS QL_TOOL_MPI)
endif()
# CLI11 is slow to compile, the more so with optimisation.
set_source_files_properties(
  "${PROJECT_SOURCE_DIR}/examples/qwenlong_l1/main.cpp" "${PROJECT_SOURCE_DIR}/examples/qwenlong_l1/options.cpp"
  PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O1>)
if(QL_INSTALL)
  install(TARGETS qwenlong-l1 RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT program OPTIONAL)
endif()

if(QL_BUILD_TESTS AND NOT QL_TEST_ONLY_THREADS)
  find_package(Python3 3.9 REQUIRED COMPONENTS Interpreter)
  # The build without a prefix does the whole of a test; the others repeat it with another compiler or a sanitizer.
  set(_ql_environment PYTHONDONTWRITEBYTECODE=1)
  if(NOT QL_TEST_PREFIX STREQUAL "")
    list(APPEND _ql_environment QL_TEST_BRIEF=1)
  endif()
  file(GLOB _ql_tool_tests CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/tool/*_test.py")
  foreach(script IN LISTS _ql_tool_tests)
    get_filename_component(_ql_name "${script}" NAME_WE)
    string(REGEX REPLACE "_test$" "" _ql_name "${_ql_name}")
    add_test(NAME ${QL_TEST_PREFIX}tool.${_ql_name} COMMAND Python3::Interpreter "${script}" $<TARGET_FILE:qwenlong-l1> "${QL_TEST_DATA_DIR}")
    set_tests_properties(${QL_TEST_PREFIX}tool.${_ql_name} PROPERTIES TIMEOUT 1200 LABELS tool ENVIRONMENT "${_ql_environment}")
  endforeach()
endif()
