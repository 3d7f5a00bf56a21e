# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# What is installed: the libraries, the helper procpool-worker, the headers, a CMake package (find_package(procpool 0.1 CONFIG))
# and two pkg-config files (procpool, procpool-core).

include(CMakePackageConfigHelpers)

set(procpool_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/procpool")

install(TARGETS procpool_core procpool_main procpool
  EXPORT procpoolTargets
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}"
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}"
  INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(TARGETS procpool_worker EXPORT procpoolTargets
  RUNTIME DESTINATION "${CMAKE_INSTALL_LIBEXECDIR}/procpool")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
  FILES_MATCHING PATTERN "*.hpp")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}")

install(EXPORT procpoolTargets
  NAMESPACE procpool::
  DESTINATION "${procpool_cmake_dir}")
configure_package_config_file(
  "${PROJECT_SOURCE_DIR}/cmake/procpoolConfig.cmake.in"
  "${PROJECT_BINARY_DIR}/procpoolConfig.cmake"
  INSTALL_DESTINATION "${procpool_cmake_dir}"
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file("${PROJECT_BINARY_DIR}/procpoolConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion)
install(FILES
  "${PROJECT_BINARY_DIR}/procpoolConfig.cmake"
  "${PROJECT_BINARY_DIR}/procpoolConfigVersion.cmake"
  DESTINATION "${procpool_cmake_dir}")

# The pkg-config files find their prefix from where they lie, so the tree may be moved.
set(procpool_pc_dir "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
cmake_path(IS_ABSOLUTE CMAKE_INSTALL_LIBDIR procpool_fixed)
if(procpool_fixed)
  set(procpool_pc_prefix "${CMAKE_INSTALL_PREFIX}")
else()
  cmake_path(RELATIVE_PATH CMAKE_INSTALL_PREFIX
    BASE_DIRECTORY "${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig" OUTPUT_VARIABLE procpool_up)
  set(procpool_pc_prefix "\${pcfiledir}/${procpool_up}")
endif()
foreach(dir IN ITEMS LIB INCLUDE)
  set(procpool_pc_${dir} "${CMAKE_INSTALL_${dir}DIR}")
  if(NOT IS_ABSOLUTE "${procpool_pc_${dir}}")
    string(PREPEND procpool_pc_${dir} "\${prefix}/")
  endif()
endforeach()

# Boost where the compiler does not look by itself.
set(procpool_pc_boost_cflags "")
set(procpool_pc_boost_libs "")
foreach(dir IN LISTS Boost_INCLUDE_DIRS)
  if(NOT dir IN_LIST CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES)
    string(APPEND procpool_pc_boost_cflags " -I${dir}")
  endif()
endforeach()
foreach(dir IN LISTS Boost_LIBRARY_DIRS)
  if(NOT dir IN_LIST CMAKE_CXX_IMPLICIT_LINK_DIRECTORIES)
    string(APPEND procpool_pc_boost_libs " -L${dir}")
  endif()
endforeach()

foreach(name IN ITEMS procpool procpool-core)
  configure_file("${PROJECT_SOURCE_DIR}/cmake/${name}.pc.in" "${PROJECT_BINARY_DIR}/${name}.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${name}.pc" DESTINATION "${procpool_pc_dir}")
endforeach()
