# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# cmake -Dbuild= -P uninstall.cmake: removes the files that were installed from the build folder, and the folders that
# were made for them, if nobody else has put something there. DESTDIR in the environment counts as it did then.

cmake_minimum_required(VERSION 3.25)

file(GLOB manifests "${build}/install_manifest*.txt")
if(NOT manifests)
  message(FATAL_ERROR "nothing has been installed from ${build}")
endif()
set(count 0)
foreach(manifest IN LISTS manifests)
  file(STRINGS "${manifest}" files)
  foreach(file IN LISTS files)
    set(file "$ENV{DESTDIR}${file}")
    if(EXISTS "${file}" OR IS_SYMLINK "${file}")
      file(REMOVE "${file}")
      math(EXPR count "${count} + 1")
    endif()
  endforeach()
endforeach()

set(folders "")
if(EXISTS "${build}/install_folders.txt")
  file(STRINGS "${build}/install_folders.txt" folders)
endif()
list(SORT folders ORDER DESCENDING)  # a folder behind those in it
foreach(folder IN LISTS folders)
  file(GLOB left "${folder}/*" "${folder}/.*")
  list(FILTER left EXCLUDE REGEX "/\\.\\.?$")
  if(IS_DIRECTORY "${folder}" AND NOT left)
    file(REMOVE_RECURSE "${folder}")
  endif()
endforeach()

file(REMOVE ${manifests} "${build}/install_folders.txt")
message(STATUS "removed ${count} files")
