# SPDX-License-Identifier: Apache-2.0
# ql_cpu_kernels: src/cpu/**.cpp. The end of a file's name says which instructions it may use: *_avx2.cpp,
# *_avx512.cpp, *_avx512bf16.cpp, *_amx.cpp; every other file is portable. The portable files see QL_HAVE_AVX2, QL_HAVE_AVX512 and
# QL_HAVE_AMX when kernels of that kind are compiled in, and choose among them on the processor's feature bits.
include(CheckCXXCompilerFlag)

file(GLOB_RECURSE _ql_kernel_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/cpu/*.cpp")
if(NOT _ql_kernel_sources)
  return()
endif()

set(_ql_flags_avx2 -mavx2 -mfma -mf16c)
set(_ql_flags_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl ${_ql_flags_avx2})
set(_ql_flags_amx ${_ql_flags_avx512} -mamx-tile -mamx-bf16)
set(_ql_flags_avx512bf16 ${_ql_flags_avx512} -mavx512bf16)

set(_ql_have)
foreach(isa IN ITEMS avx2 avx512 amx avx512bf16)
  set(_ql_isa_sources ${_ql_kernel_sources})
  list(FILTER _ql_isa_sources INCLUDE REGEX "_${isa}\\.cpp$")
  if(NOT _ql_isa_sources)
    continue()
  endif()
  string(TOUPPER "${isa}" _ql_isa_name)
  set(_ql_isa_ok FALSE)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    string(JOIN " " _ql_isa_flags ${_ql_flags_${isa}})
    check_cxx_compiler_flag("${_ql_isa_flags}" QL_COMPILER_HAS_${_ql_isa_name})
    set(_ql_isa_ok ${QL_COMPILER_HAS_${_ql_isa_name}})
  endif()
  if(_ql_isa_ok)
    set(_ql_isa_options ${_ql_flags_${isa}})
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
      list(APPEND _ql_isa_options -Wno-uninitialized -Wno-maybe-uninitialized) # false in GCC's own intrinsics, PR 105593
    endif()
    set_source_files_properties(${_ql_isa_sources} PROPERTIES COMPILE_OPTIONS "${_ql_isa_options}")
    list(APPEND _ql_have QL_HAVE_${_ql_isa_name}=1)
  else()
    list(REMOVE_ITEM _ql_kernel_sources ${_ql_isa_sources})
  endif()
endforeach()

add_library(ql_cpu_kernels STATIC ${_ql_kernel_sources})
add_library(ql::cpu_kernels ALIAS ql_cpu_kernels)
set_target_properties(ql_cpu_kernels PROPERTIES EXPORT_NAME cpu_kernels CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
target_compile_definitions(ql_cpu_kernels PRIVATE ${_ql_have})
# The bits of a kernel are those that its source spells: no product is fused into a sum unless written as fma.
target_compile_options(ql_cpu_kernels PRIVATE $<$<CXX_COMPILER_ID:GNU,Clang,AppleClang>:-ffp-contract=off>)
target_link_libraries(ql_cpu_kernels PUBLIC ql_core PRIVATE $<BUILD_INTERFACE:ql_dev>)
