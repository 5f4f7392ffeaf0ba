# SPDX-License-Identifier: Apache-2.0
# cpack -G DEB in the build folder makes libql-dev (headers, libraries, package files) and qwenlong-l1 (the program).
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME ql)
set(CPACK_PACKAGE_VENDOR "the authors of ql")
set(QL_DEBIAN_CONTACT "the authors of ql <ql@packages.invalid>" CACHE STRING "Who answers for the Debian packages: name <address>")
set(CPACK_PACKAGE_CONTACT "${QL_DEBIAN_CONTACT}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE
                                                WORLD_READ WORLD_EXECUTE)
set(CPACK_COMPONENTS_ALL development)

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libql-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION
    "C++20 templates for policies, rewards, samplers, advantages, losses, optimizers\nand curricula, and their compiled kernels.")
string(CONCAT CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION ${CPACK_COMPONENT_DEVELOPMENT_DESCRIPTION})
set(_ql_depends)
if("recipe" IN_LIST QL_COMPONENTS)
  list(APPEND _ql_depends libboost-dev libfmt-dev)
endif()
if("io" IN_LIST QL_COMPONENTS)
  list(APPEND _ql_depends libsimdjson-dev libpcre2-dev libutf8proc-dev zlib1g-dev libcurl4-openssl-dev)
endif()
list(JOIN _ql_depends ", " CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_RECOMMENDS "libeigen3-dev")
if("mpi" IN_LIST QL_COMPONENTS)
  set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "libopenmpi-dev")
endif()

if(TARGET qwenlong-l1)
  list(APPEND CPACK_COMPONENTS_ALL program)
  set(CPACK_DEBIAN_PROGRAM_PACKAGE_NAME qwenlong-l1)
  set(CPACK_DEBIAN_PROGRAM_PACKAGE_SECTION science)
  set(CPACK_DEBIAN_PROGRAM_PACKAGE_SHLIBDEPS ON)
  set(CPACK_COMPONENT_PROGRAM_DESCRIPTION
      "recipe of QwenLong-L1, and tools around it\nTrains, evaluates and inspects language models that read long documents.")
endif()

# What Debian wants to find beside each package. Their names are not those of a source package: the log of changes is short.
file(WRITE "${PROJECT_BINARY_DIR}/package/copyright" "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: ql

Files: *
Copyright: 2026 the authors of ql
License: Apache-2.0
 On Debian systems the text of the Apache License 2.0 stands in
 /usr/share/common-licenses/Apache-2.0.
")
file(WRITE "${PROJECT_BINARY_DIR}/package/changelog" "ql (${PROJECT_VERSION}) unstable; urgency=medium

  * Version ${PROJECT_VERSION}.

 -- ${QL_DEBIAN_CONTACT}  Thu, 01 Jan 2026 00:00:00 +0000
")
execute_process(COMMAND gzip -9nkf "${PROJECT_BINARY_DIR}/package/changelog")
set(_ql_beside "${PROJECT_BINARY_DIR}/package/copyright" "${PROJECT_BINARY_DIR}/package/changelog.gz")
install(FILES ${_ql_beside} DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/doc/libql-dev" COMPONENT development)
# ql's .pc files stand where the prefix has its libraries; they hold no path of one architecture
file(WRITE "${PROJECT_BINARY_DIR}/package/libql-dev" "libql-dev: pkg-config-unavailable-for-cross-compilation *\n")
install(FILES "${PROJECT_BINARY_DIR}/package/libql-dev" DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/lintian/overrides" COMPONENT development)
if(TARGET qwenlong-l1)
  install(FILES ${_ql_beside} DESTINATION "${CMAKE_INSTALL_DATAROOTDIR}/doc/qwenlong-l1" COMPONENT program)
  file(COPY "${PROJECT_SOURCE_DIR}/packaging/debian/qwenlong-l1.1" DESTINATION "${PROJECT_BINARY_DIR}/package")
  execute_process(COMMAND gzip -9nkf "${PROJECT_BINARY_DIR}/package/qwenlong-l1.1")
  install(FILES "${PROJECT_BINARY_DIR}/package/qwenlong-l1.1.gz" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT program)
endif()
include(CPack)
