# SPDX-License-Identifier: Apache-2.0
if(TARGET ql_cuda) # bench/cuda/figures.cpp needs a GPU: scripts/gpu_check.sh builds and runs it
  add_executable(ql_bench_cuda EXCLUDE_FROM_ALL "${PROJECT_SOURCE_DIR}/bench/cuda/figures.cpp")
  set_target_properties(ql_bench_cuda PROPERTIES CXX_EXTENSIONS OFF)
  target_link_libraries(ql_bench_cuda PRIVATE ql::cuda $<BUILD_INTERFACE:ql_dev>)
endif()

# bench/**/<name>.bench.cpp: one Google Benchmark program each, ql_bench_<folder>_<name>, in <build>/bench.
file(GLOB_RECURSE _ql_bench_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/bench/*.bench.cpp")
find_package(benchmark QUIET)
if(_ql_bench_sources AND NOT TARGET benchmark::benchmark_main)
  message(STATUS "ql's benchmarks are left out: Google Benchmark is not installed (Debian: libbenchmark-dev)")
  return()
endif()
foreach(source IN LISTS _ql_bench_sources)
  file(RELATIVE_PATH _ql_name "${PROJECT_SOURCE_DIR}/bench" "${source}")
  string(REGEX REPLACE "\\.bench\\.cpp$" "" _ql_name "${_ql_name}")
  string(REGEX REPLACE "[^A-Za-z0-9]" "_" _ql_name "${_ql_name}")
  add_executable(ql_bench_${_ql_name} "${source}")
  set_target_properties(ql_bench_${_ql_name} PROPERTIES CXX_EXTENSIONS OFF RUNTIME_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/bench")
  target_include_directories(ql_bench_${_ql_name} PRIVATE "${PROJECT_SOURCE_DIR}/bench")
  target_link_libraries(ql_bench_${_ql_name} PRIVATE ql::ql benchmark::benchmark_main $<BUILD_INTERFACE:ql_dev>)
endforeach()
# Algorithms are headers: measured as in a consumer's program of plain -O2.
if(TARGET ql_bench_rl_loss)
  target_compile_options(ql_bench_rl_loss PRIVATE -O2)
endif()
