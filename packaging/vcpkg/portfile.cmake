# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# REPO and SHA512 are those of the released archive: docs/releasing.md.

vcpkg_from_github(
  OUT_SOURCE_PATH SOURCE_PATH
  REPO procpool/procpool
  REF "v${VERSION}"
  SHA512 0
  HEAD_REF main)

# The helper of hosts whose main is another's is a tool: it lies in a folder that names its binary interface.
vcpkg_cmake_configure(
  SOURCE_PATH "${SOURCE_PATH}"
  OPTIONS
    -DPROCPOOL_BUILD_TESTS=OFF
    -DPROCPOOL_BUILD_EXAMPLES=OFF
    -DPROCPOOL_INSTALL=ON
    -DCMAKE_INSTALL_LIBEXECDIR=tools)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/procpool)
vcpkg_fixup_pkgconfig()

file(REMOVE_RECURSE
  "${CURRENT_PACKAGES_DIR}/debug/include"
  "${CURRENT_PACKAGES_DIR}/debug/share"
  "${CURRENT_PACKAGES_DIR}/share/doc")
vcpkg_install_copyright(FILE_LIST "${SOURCE_PATH}/LICENSE")
file(INSTALL "${CMAKE_CURRENT_LIST_DIR}/usage" DESTINATION "${CURRENT_PACKAGES_DIR}/share/${PORT}")
