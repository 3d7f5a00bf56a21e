# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# Installed in three components, runtime, development and tools. A program that was linked with a shared library needs the
# first alone: the library and the helper procpool-worker. The second has the headers, the archives, a CMake package
# (find_package(procpool 0.1 CONFIG)) and two pkg-config files (procpool, procpool-core). With PROCPOOL_MPI there is
# also the component mpi of the package, and procpool-mpi. The third has procpool-top, if that is built.
#
# The target uninstall removes what was installed, and the folders that were made for it.

include(CMakePackageConfigHelpers)

set(procpool_cmake_dir "${CMAKE_INSTALL_LIBDIR}/cmake/procpool")
set(procpool_helper_dir "${CMAKE_INSTALL_LIBEXECDIR}/procpool-${PROCPOOL_ABI}")  # see src/CMakeLists.txt

# Ahead of every other rule: which folders are not there yet.
set(procpool_folders "${PROJECT_BINARY_DIR}/install_folders.txt")
set(procpool_destinations "${procpool_cmake_dir}" "${procpool_helper_dir}" "${CMAKE_INSTALL_LIBDIR}/pkgconfig"
  "${CMAKE_INSTALL_INCLUDEDIR}" "${CMAKE_INSTALL_DOCDIR}")
set(procpool_components runtime development)
if(TARGET procpool_top)
  list(APPEND procpool_components tools)
  list(APPEND procpool_destinations "${CMAKE_INSTALL_BINDIR}" "${CMAKE_INSTALL_MANDIR}/man1")
endif()
file(GLOB_RECURSE folders CONFIGURE_DEPENDS LIST_DIRECTORIES ON RELATIVE "${PROJECT_SOURCE_DIR}/include"
  "${PROJECT_SOURCE_DIR}/include/*")
list(FILTER folders EXCLUDE REGEX "\\.hpp$")
list(TRANSFORM folders PREPEND "${CMAKE_INSTALL_INCLUDEDIR}/")
list(APPEND procpool_destinations ${folders})
# At the end, since other files add destinations.
cmake_language(DEFER CALL configure_file "${PROJECT_SOURCE_DIR}/cmake/note_folders.cmake.in"
  "${PROJECT_BINARY_DIR}/note_folders.cmake" @ONLY)
foreach(component IN LISTS procpool_components)
  install(SCRIPT "${PROJECT_BINARY_DIR}/note_folders.cmake" COMPONENT ${component})
endforeach()
if(PROJECT_IS_TOP_LEVEL)
  add_custom_target(uninstall
    COMMAND "${CMAKE_COMMAND}" "-Dbuild=${PROJECT_BINARY_DIR}" -P "${PROJECT_SOURCE_DIR}/cmake/uninstall.cmake"
    COMMENT "" VERBATIM)
endif()

install(TARGETS procpool_core procpool_main procpool
  EXPORT procpoolTargets
  RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT runtime
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT runtime NAMELINK_COMPONENT development
  ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development
  INCLUDES DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
if(PROCPOOL_MPI)
  install(TARGETS procpool_mpi
    EXPORT procpoolMpiTargets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT development)
  install(EXPORT procpoolMpiTargets
    NAMESPACE procpool::
    DESTINATION "${procpool_cmake_dir}" COMPONENT development)
endif()
install(TARGETS procpool_worker EXPORT procpoolTargets
  RUNTIME DESTINATION "${procpool_helper_dir}" COMPONENT runtime)
if(TARGET procpool_top)
  install(TARGETS procpool_top RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}" COMPONENT tools)
  if(NOT PROCPOOL_DEBIAN)  # which compresses it
    install(FILES "${PROJECT_SOURCE_DIR}/packaging/procpool-top.1"
      DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT tools)
  endif()
endif()
install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/"
  DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT development
  FILES_MATCHING PATTERN "*.hpp")
if(NOT PROCPOOL_DEBIAN)  # whose packages have a file named copyright
  install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" DESTINATION "${CMAKE_INSTALL_DOCDIR}" COMPONENT development)
endif()

install(EXPORT procpoolTargets
  NAMESPACE procpool::
  DESTINATION "${procpool_cmake_dir}" COMPONENT development)
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
  DESTINATION "${procpool_cmake_dir}" COMPONENT development)

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

set(procpool_packages procpool procpool-core)
if(PROCPOOL_MPI)
  list(APPEND procpool_packages procpool-mpi)
  list(JOIN MPI_CXX_LIBRARIES " " procpool_pc_mpi_libs)
endif()
foreach(name IN LISTS procpool_packages)
  configure_file("${PROJECT_SOURCE_DIR}/cmake/${name}.pc.in" "${PROJECT_BINARY_DIR}/${name}.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/${name}.pc" DESTINATION "${procpool_pc_dir}" COMPONENT development)
endforeach()
