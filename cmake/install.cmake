# SPDX-License-Identifier: Apache-2.0
# One export set per component, so that a component whose dependencies are absent does not hinder the others.
include(CMakePackageConfigHelpers)

set(_ql_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/ql")
foreach(component IN LISTS QL_COMPONENTS)
  set(_ql_installed ql_${component})
  if(component STREQUAL cpu AND TARGET ql_cpu_kernels)
    list(APPEND _ql_installed ql_cpu_kernels)
  endif()
  if(component STREQUAL cuda)
    list(APPEND _ql_installed ql_cuda_kernels)
  endif()
  install(
    TARGETS ${_ql_installed}
    EXPORT ql_${component}
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development
    FILE_SET HEADERS DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development)
  install(
    EXPORT ql_${component}
    NAMESPACE ql::
    FILE ql-${component}.cmake
    DESTINATION "${_ql_package_dir}"
    COMPONENT development)
endforeach()

configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/ql-config.cmake.in" "${PROJECT_BINARY_DIR}/package/ql-config.cmake"
  INSTALL_DESTINATION "${_ql_package_dir}")
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/package/ql-config-version.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/package/ql-config.cmake" "${PROJECT_BINARY_DIR}/package/ql-config-version.cmake"
        DESTINATION "${_ql_package_dir}" COMPONENT development)
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT license)
include("${CMAKE_CURRENT_LIST_DIR}/pkgconfig.cmake")
