# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# Debian packages, by cpack: libprocpool0.1, named by its SONAME, has the component runtime, libprocpool-dev the
# component development, and procpool-tools the component tools. Packages of two binary interfaces can be installed beside each other.
#
# The maintainer is whoever builds them: DEBFULLNAME and DEBEMAIL in the environment, as for Debian's own tools.

if(NOT BUILD_SHARED_LIBS)
  message(FATAL_ERROR "PROCPOOL_DEBIAN packages the shared library: set BUILD_SHARED_LIBS")
endif()

set(name "$ENV{DEBFULLNAME}")
set(address "$ENV{DEBEMAIL}")
if(NOT name OR NOT address)
  message(FATAL_ERROR "a package names its maintainer: set DEBFULLNAME and DEBEMAIL (scripts/packages)")
endif()
set(PROCPOOL_MAINTAINER "${name} <${address}>")

# The revision of the package is in the changelog alone. It is below 1, so that a package of Debian itself is newer.
file(STRINGS "${CMAKE_CURRENT_LIST_DIR}/changelog" first LIMIT_COUNT 1)
if(NOT first MATCHES "^procpool \\(${PROJECT_VERSION}-([0-9.]+)\\)")
  message(FATAL_ERROR "packaging/debian/changelog does not begin with version ${PROJECT_VERSION}: scripts/version")
endif()
set(release "${CMAKE_MATCH_1}")

set(runtime "libprocpool${PROCPOOL_ABI}")
set(development libprocpool-dev)
set(tools procpool-tools)
if(NOT TARGET procpool_top)
  message(FATAL_ERROR "procpool-tools has procpool-top, which needs CLI11: install libcli11-dev")
endif()

# --- documents: who may do what with it, and what has changed ---------------------------------------------------------

file(STRINGS "${PROJECT_SOURCE_DIR}/LICENSE" lines)
file(READ "${PROJECT_SOURCE_DIR}/LICENSE" licence)
string(REGEX REPLACE "^.*\n(Boost Software License)" "\\1" licence "${licence}")
string(STRIP "${licence}" licence)
string(REGEX REPLACE "\n\n" "\n.\n" licence "${licence}")
string(REGEX REPLACE "\n" "\n " licence " ${licence}")
set(documents "${PROJECT_BINARY_DIR}/debian")
configure_file("${CMAKE_CURRENT_LIST_DIR}/copyright.in" "${documents}/copyright" @ONLY)
configure_file("${CMAKE_CURRENT_LIST_DIR}/changelog" "${documents}/changelog.Debian" @ONLY)
execute_process(COMMAND gzip -9nf "${documents}/changelog.Debian" COMMAND_ERROR_IS_FATAL ANY)
foreach(component IN LISTS procpool_components)
  install(FILES "${documents}/copyright" "${documents}/changelog.Debian.gz"
    DESTINATION "${CMAKE_INSTALL_DATADIR}/doc/${${component}}" COMPONENT ${component})
  list(APPEND procpool_destinations "${CMAKE_INSTALL_DATADIR}/doc/${${component}}")
endforeach()

# A manual page is compressed in a package.
execute_process(COMMAND gzip -9nc "${PROJECT_SOURCE_DIR}/packaging/procpool-top.1"
  OUTPUT_FILE "${documents}/procpool-top.1.gz" COMMAND_ERROR_IS_FATAL ANY)
install(FILES "${documents}/procpool-top.1.gz" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1" COMPONENT tools)

# --- packages ---------------------------------------------------------------------------------------------------------

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_DIRECTORY "${PROJECT_BINARY_DIR}")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_COMPONENTS_ALL ${procpool_components})
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
  OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "C++ functions in a pool of isolated worker processes")
set(CPACK_POST_BUILD_SCRIPTS "${CMAKE_CURRENT_LIST_DIR}/finish.cmake")

set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_RELEASE "${release}")
set(CPACK_DEBIAN_PACKAGE_SOURCE procpool)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "${PROCPOOL_MAINTAINER}")
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)

set(about "procpool runs ordinary functions of a program in worker processes, which are
further executions of that program. A crash, a leak or a global variable of a
task stays in its worker. Arguments and results are sent as bytes, without any
code of the user. Every task ends exactly once, whichever process dies.

This package has")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME "${runtime}")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA "${documents}/shlibs;${documents}/triggers")
file(WRITE "${documents}/shlibs" "libprocpool ${PROCPOOL_ABI} ${runtime} (>= ${PROJECT_VERSION})\n")
file(WRITE "${documents}/triggers" "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION "${about} the shared library, and the helper for libraries whose host
is another program.")

set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME "${development}")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
# Programs are linked with the Boost that the library is linked with.
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "${runtime} (= ${PROJECT_VERSION}-${release}), \
libboost-serialization${Boost_VERSION_MAJOR}.${Boost_VERSION_MINOR}-dev")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "${about} the headers, and what compiling and linking need.")

set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME "${tools}")
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_TOOLS_DESCRIPTION "${about} procpool-top, which shows what the pools of a running
program do.")

include(CPack)
