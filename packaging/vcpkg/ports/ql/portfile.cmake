# SPDX-License-Identifier: Apache-2.0
# Builds the tree it stands in: vcpkg install ql --overlay-ports=packaging/vcpkg/ports
get_filename_component(SOURCE_PATH "${CMAKE_CURRENT_LIST_DIR}/../../../.." ABSOLUTE)

vcpkg_check_linkage(ONLY_STATIC_LIBRARY)
vcpkg_check_features(
  OUT_FEATURE_OPTIONS features
  FEATURES io QL_IO
  INVERTED_FEATURES recipe CMAKE_DISABLE_FIND_PACKAGE_Boost)
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS ${features} -DQL_BUILD_TESTS=OFF -DQL_BUILD_EXAMPLES=OFF -DQL_BUILD_BENCH=OFF -DQL_MPI=OFF -DQL_CUDA=OFF -DQL_DEV=OFF
  MAYBE_UNUSED_VARIABLES CMAKE_DISABLE_FIND_PACKAGE_Boost)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/ql)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include" "${CURRENT_PACKAGES_DIR}/debug/share" "${CURRENT_PACKAGES_DIR}/share/doc" "${CURRENT_PACKAGES_DIR}/share/lintian")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
