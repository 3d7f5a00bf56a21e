# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# cmake -Dbuild= -Dwhere= -Dtop= -P uninstall.cmake: installs each component of the build folder under an empty prefix, and
# both twice under a prefix where somebody else has files. The components have their files and no others, and uninstall
# leaves nothing of its own and all of what is somebody else's.

cmake_minimum_required(VERSION 3.25)

function(install)
  execute_process(COMMAND "${CMAKE_COMMAND}" --install "${build}" ${ARGN} OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
endfunction()
function(uninstall)
  execute_process(COMMAND "${CMAKE_COMMAND}" --build "${build}" --target uninstall OUTPUT_QUIET
    COMMAND_ERROR_IS_FATAL ANY)
endfunction()
function(expect folder)  # exactly these files and folders
  file(GLOB_RECURSE got LIST_DIRECTORIES ON RELATIVE "${folder}" "${folder}/*")
  if(NOT got STREQUAL "${ARGN}")
    message(FATAL_ERROR "${folder} has ${got} instead of ${ARGN}")
  endif()
endfunction()
function(expect_component component)
  file(GLOB_RECURSE got RELATIVE "${where}/${component}" "${where}/${component}/*")
  set(headers ${got})
  list(FILTER headers INCLUDE REGEX "\\.hpp$")
  set(helper ${got})
  list(FILTER helper INCLUDE REGEX "/procpool-worker$")
  if(component STREQUAL "runtime" AND (headers OR NOT helper))
    message(FATAL_ERROR "the component runtime has ${got}")
  endif()
  if(component STREQUAL "tools" AND NOT "${got}" MATCHES "procpool-top;.*procpool-top\\.1$")
    message(FATAL_ERROR "the component tools has ${got}")
  endif()
  if(component STREQUAL "development" AND (helper OR NOT headers))
    message(FATAL_ERROR "the component development has ${got}")
  endif()
endfunction()

file(REMOVE_RECURSE "${where}")
# Other tests need what was installed from this build folder before: without its list it is not removed.
file(REMOVE "${build}/install_manifest.txt")
# The folder of the prefix was not there either.
set(components runtime development)
if(top)
  list(APPEND components tools)
endif()
foreach(component IN LISTS components)
  install(--prefix "${where}/${component}" --component ${component})
  expect_component(${component})
  uninstall()
endforeach()
expect("${where}")

# A prefix with files of others. A file in a folder of procpool stays, and its folder with it.
file(WRITE "${where}/lib/pkgconfig/other.pc" "")
file(MAKE_DIRECTORY "${where}/include")
install(--prefix "${where}")
install(--prefix "${where}")
file(WRITE "${where}/include/procpool/detail/mine.txt" "")
uninstall()
expect("${where}" include include/procpool include/procpool/detail include/procpool/detail/mine.txt lib lib/pkgconfig
  lib/pkgconfig/other.pc)

# Under DESTDIR, as packagers do.
set(ENV{DESTDIR} "${where}/stage")
install(--prefix /usr)
uninstall()
if(EXISTS "${where}/stage")
  message(FATAL_ERROR "something is left in ${where}/stage")
endif()
file(REMOVE_RECURSE "${where}")
