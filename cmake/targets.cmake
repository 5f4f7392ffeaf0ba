# SPDX-License-Identifier: Apache-2.0
# The targets of ql. Sources and headers are found by glob; a folder that is still empty is no error.
find_package(Threads REQUIRED)

# Layers (docs/architecture.md): L4 names belong to ql::recipe, the umbrella to ql::ql, the rest to ql::core.
file(GLOB_RECURSE _ql_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/ql/*.hpp")
set(_ql_recipe_headers ${_ql_headers})
list(FILTER _ql_recipe_headers INCLUDE REGEX "/include/ql/((recipe|reflect|archive|observer|checkpoint|trainer|policy_update|data_parallel|rollout|group_update|sft|report|rl_run)\\.hpp|eval/.*)$")
set(_ql_cuda_headers ${_ql_headers})
list(FILTER _ql_cuda_headers INCLUDE REGEX "/include/ql/backend/cuda/")
set(_ql_umbrella ${_ql_headers})
list(FILTER _ql_umbrella INCLUDE REGEX "/include/ql/ql\\.hpp$")
set(_ql_core_headers ${_ql_headers})
list(REMOVE_ITEM _ql_core_headers ${_ql_recipe_headers} ${_ql_cuda_headers} ${_ql_umbrella})

# ql_headers(<target> <file>...): attaches public headers
function(ql_headers target)
  target_sources(
    ${target} INTERFACE FILE_SET HEADERS BASE_DIRS "${PROJECT_SOURCE_DIR}/include" FILES ${ARGN})
endfunction()

set(QL_COMPONENTS core cpu) # what this build offers; read by install.cmake

add_library(ql_core INTERFACE)
add_library(ql::core ALIAS ql_core)
set_target_properties(ql_core PROPERTIES EXPORT_NAME core)
ql_headers(ql_core ${_ql_core_headers})
target_compile_features(ql_core INTERFACE cxx_std_20)
target_link_libraries(ql_core INTERFACE Threads::Threads)

add_library(ql_cpu INTERFACE)
add_library(ql::cpu ALIAS ql_cpu)
set_target_properties(ql_cpu PROPERTIES EXPORT_NAME cpu)
# Eigen is optional, for the maker of the package and for its user: linked where the using project knows it.
find_package(Eigen3 3.4 QUIET GLOBAL)
target_link_libraries(ql_cpu INTERFACE ql_core $<TARGET_NAME_IF_EXISTS:Eigen3::Eigen>)

include("${CMAKE_CURRENT_LIST_DIR}/kernels.cmake")
if(TARGET ql_cpu_kernels)
  target_link_libraries(ql_cpu INTERFACE ql_cpu_kernels)
endif()

find_package(Boost 1.74 QUIET GLOBAL)
find_package(fmt 9 QUIET GLOBAL)
if(TARGET Boost::headers AND TARGET fmt::fmt)
  add_library(ql_recipe INTERFACE)
  add_library(ql::recipe ALIAS ql_recipe)
  set_target_properties(ql_recipe PROPERTIES EXPORT_NAME recipe)
  ql_headers(ql_recipe ${_ql_recipe_headers})
  target_link_libraries(ql_recipe INTERFACE ql_cpu Boost::headers fmt::fmt)
  list(APPEND QL_COMPONENTS recipe)
elseif(PROJECT_IS_TOP_LEVEL)
  message(STATUS "ql::recipe is left out: it needs Boost.Hana and fmt (Debian: libboost-dev libfmt-dev)")
endif()

file(GLOB_RECURSE _ql_io_sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/src/io/*.cpp")
if(QL_IO AND _ql_io_sources)
  add_library(ql_io STATIC ${_ql_io_sources})
  add_library(ql::io ALIAS ql_io)
  set_target_properties(ql_io PROPERTIES EXPORT_NAME io CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(ql_io PUBLIC ql_core PRIVATE $<BUILD_INTERFACE:ql_dev>)
  include("${CMAKE_CURRENT_LIST_DIR}/io_dependencies.cmake")
  list(APPEND QL_COMPONENTS io)
  if(TARGET ql_recipe)
    target_link_libraries(ql_recipe INTERFACE ql_io) # checkpoints, run directories
  endif()
endif()

# Ranks as threads.
add_library(ql_comm STATIC "${PROJECT_SOURCE_DIR}/src/comm/threads.cpp")
add_library(ql::comm ALIAS ql_comm)
set_target_properties(ql_comm PROPERTIES EXPORT_NAME comm CXX_EXTENSIONS OFF POSITION_INDEPENDENT_CODE ON)
target_link_libraries(ql_comm PUBLIC ql_core PRIVATE $<BUILD_INTERFACE:ql_dev>)
list(APPEND QL_COMPONENTS comm)

if(QL_CUDA)
  file(GLOB_RECURSE _ql_device_headers CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/include/ql/*.cuh")
  if(NOT _ql_device_headers)
    message(FATAL_ERROR "QL_CUDA=ON, but this version of ql has no CUDA backend; configure with -DQL_CUDA=OFF")
  endif()
  find_package(CUDAToolkit REQUIRED GLOBAL)
  add_library(ql_cuda INTERFACE)
  add_library(ql::cuda ALIAS ql_cuda)
  set_target_properties(ql_cuda PROPERTIES EXPORT_NAME cuda)
  ql_headers(ql_cuda ${_ql_cuda_headers} ${_ql_device_headers})
  target_link_libraries(ql_cuda INTERFACE ql_core CUDA::cudart)
  list(APPEND QL_COMPONENTS cuda)
endif()

# Everything there is for the host.
add_library(ql_ql INTERFACE)
add_library(ql::ql ALIAS ql_ql)
set_target_properties(ql_ql PROPERTIES EXPORT_NAME ql)
ql_headers(ql_ql ${_ql_umbrella})
target_link_libraries(ql_ql INTERFACE ql_cpu)
foreach(part IN ITEMS recipe io comm)
  if(TARGET ql_${part})
    target_link_libraries(ql_ql INTERFACE ql_${part})
  endif()
endforeach()
list(APPEND QL_COMPONENTS ql)
