# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# cmake -Dcompiler= -Dsource= -Dincludes=a|b -Ddefinitions=a|b -Dimplicit=a|b -Dprecompiled=a|b
#   -P check.cmake
# Compiles the source, without making anything, and holds the outcome against its first lines.

cmake_minimum_required(VERSION 3.25)

foreach(list IN ITEMS includes definitions implicit precompiled)
  string(REPLACE "|" ";" ${list} "${${list}}")
endforeach()

set(flags -std=c++20 -fsyntax-only -fmessage-length=0 -fdiagnostics-color=never)
foreach(dir IN LISTS includes)
  if(dir AND NOT dir IN_LIST implicit)
    list(APPEND flags "-I${dir}")
  endif()
endforeach()
foreach(definition IN LISTS definitions)
  if(definition)
    list(APPEND flags "-D${definition}")
  endif()
endforeach()

set(expected "")
set(success FALSE)
file(STRINGS "${source}" lines REGEX "^// expect[:-]")
foreach(line IN LISTS lines)
  if(line MATCHES "^// expect: *(.+)$")
    list(APPEND expected "${CMAKE_MATCH_1}")
  elseif(line MATCHES "^// expect-success *$")
    set(success TRUE)
  endif()
endforeach()
if(NOT success AND NOT expected)
  message(FATAL_ERROR "${source} does not begin with '// expect: words' or '// expect-success'")
endif()

if(NOT success)
  list(APPEND flags ${precompiled})
endif()

execute_process(COMMAND "${compiler}" ${flags} "${source}"
  RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)

if(success)
  if(NOT status EQUAL 0)
    message(NOTICE "${said}")
    message(FATAL_ERROR "this must compile and does not")
  endif()
  return()
endif()
if(status EQUAL 0)
  message(FATAL_ERROR "this must not compile and does: ${source}")
endif()
foreach(words IN LISTS expected)
  string(FIND "${said}" "${words}" at)
  if(at EQUAL -1)
    message(NOTICE "${said}")
    message(FATAL_ERROR "the compiler refuses, but does not say: ${words}")
  endif()
endforeach()
message(STATUS "refused, as it should be")
