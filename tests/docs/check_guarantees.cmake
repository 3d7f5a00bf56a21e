# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# Usage: cmake -DDOCUMENT=FILE -DTESTS=FOLDER -P check_guarantees.cmake

cmake_minimum_required(VERSION 3.25)

file(READ "${DOCUMENT}" document)
string(REGEX MATCHALL "`[A-Z][A-Za-z]+[.][A-Z][A-Za-z0-9]+`" names "${document}")
list(LENGTH names count)
if(count LESS 50)
  message(FATAL_ERROR "only ${count} names of tests found in ${DOCUMENT}")
endif()

file(GLOB_RECURSE sources "${TESTS}/pool/*.cpp" "${TESTS}/torture/*.cpp" "${TESTS}/load/*.cpp"
     "${TESTS}/steps/*.cpp" "${TESTS}/unit/*.cpp" "${TESTS}/cluster/*.cpp" "${TESTS}/top/*.cpp")
set(defined "")
foreach(source IN LISTS sources)
  file(STRINGS "${source}" lines REGEX "^(TYPED_)?TEST(_F|_P)?[(]")
  foreach(line IN LISTS lines)
    string(REGEX REPLACE "^[TYPED_]*TEST[_FP]*[(]([A-Za-z]+), ([A-Za-z0-9]+).*" "\\1.\\2" name "${line}")
    list(APPEND defined "${name}")
  endforeach()
endforeach()

foreach(name IN LISTS names)
  string(REPLACE "`" "" name "${name}")
  if(NOT name IN_LIST defined)
    list(APPEND missing "${name}")
  endif()
endforeach()
if(missing)
  list(REMOVE_DUPLICATES missing)
  list(JOIN missing "\n  " missing)
  message(FATAL_ERROR "${DOCUMENT} names tests that do not exist:\n  ${missing}")
endif()
message(STATUS "${count} names, all there")
