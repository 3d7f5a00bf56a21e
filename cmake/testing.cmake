# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# How tests and examples are made. No ctest is without a hard limit.
#
#   procpool_precompile(target [TEST])                         use the precompiled header of all programs
#                                                              (TEST: of all GoogleTest binaries)
#   procpool_unity(variable source...)                       the sources in groups, each one translation unit
#   procpool_executable(target output_name source... [CORE])   a program linked with procpool::procpool
#                                                              (CORE: with procpool::core)
#   procpool_gtest(target LABEL label SOURCES source... [PROPERTIES name value...])
#                                                              one binary, one ctest per gtest case
#   procpool_run(test target LABEL label [EXPECTED file] [ARGS arg...])
#                                                              run it: status 0, and exactly this stdout

set(PROCPOOL_TEST_TIMEOUT 120 CACHE STRING "Seconds that one test may take")

# Sanitizers leave fatal signals alone (a worker that is meant to die by SIGSEGV does), and refuse
# absurd allocations as malloc does. Linked into each program rather than set in the environment, so
# that it holds in workers with a scrubbed environment too; ASAN_OPTIONS and the like still win.
if(PROCPOOL_SANITIZE)
  add_library(procpool_sanitizer_options OBJECT "${PROJECT_SOURCE_DIR}/cmake/sanitizer_options.cpp")
endif()

# Most of the time of a test's compiler goes into the headers and the code that they instantiate. A
# developer's build parses the headers once and compiles several tests in one translation unit. Other
# builds compile each source as a user's.
set(PROCPOOL_TEST_UNITY 0 CACHE STRING "KiB of tests in one translation unit; 0: each source by itself")

if(PROCPOOL_DEVELOPER)
  # procpool_precompiled_header(target library header...): what a compiler cache needs in order to know a
  # source again that uses the header stands among the options of the header and of each user.
  function(procpool_precompiled_header target library)
    file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/empty.cpp" CONTENT "" @ONLY)
    add_library(${target} OBJECT EXCLUDE_FROM_ALL "${PROJECT_BINARY_DIR}/empty.cpp")
    target_link_libraries(${target} PRIVATE procpool::procpool ${library})
    target_compile_options(${target} PUBLIC
      $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>
      "$<$<CXX_COMPILER_ID:Clang>:SHELL:-Xclang -fno-pch-timestamp>")
    target_precompile_headers(${target} PRIVATE ${ARGN})
    procpool_warnings(${target})
  endfunction()
  procpool_precompiled_header(procpool_precompiled "" <procpool.hpp>)
  if(TARGET GTest::gtest)
    procpool_precompiled_header(procpool_precompiled_tests GTest::gtest <gtest/gtest.h> <procpool.hpp>)
  endif()
endif()

function(procpool_precompile target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TEST" "" "")
  set(header procpool_precompiled)
  if(arg_TEST)
    set(header procpool_precompiled_tests)
  endif()
  if(TARGET ${header})
    target_compile_options(${target} PRIVATE $<TARGET_PROPERTY:${header},INTERFACE_COMPILE_OPTIONS>)
    target_precompile_headers(${target} REUSE_FROM ${header})
  endif()
endfunction()

function(procpool_unity variable)
  if(NOT PROCPOOL_TEST_UNITY)
    set(${variable} ${ARGN} PARENT_SCOPE)
    return()
  endif()
  set(units "")
  set(room 0)
  foreach(source IN LISTS ARGN)
    # A relative path, so that a compiler cache knows the source again in another folder.
    cmake_path(RELATIVE_PATH source BASE_DIRECTORY "${PROJECT_SOURCE_DIR}" OUTPUT_VARIABLE path)
    file(SIZE "${source}" size)
    if(size GREATER room)
      string(REPLACE "/" "_" unit "${path}")
      list(APPEND units "${CMAKE_CURRENT_BINARY_DIR}/unity/${unit}")
      set(content_${unit} "")
      math(EXPR room "${PROCPOOL_TEST_UNITY} * 1024")
    endif()
    math(EXPR room "${room} - ${size}")
    string(APPEND content_${unit} "#include \"${path}\"\n")
  endforeach()
  foreach(file IN LISTS units)
    cmake_path(GET file FILENAME unit)
    file(CONFIGURE OUTPUT "${file}" CONTENT "${content_${unit}}" @ONLY)
  endforeach()
  set(${variable} ${units} PARENT_SCOPE)
endfunction()

function(procpool_executable target output_name)
  cmake_parse_arguments(PARSE_ARGV 2 arg "CORE" "" "")
  add_executable(${target} ${arg_UNPARSED_ARGUMENTS})
  set_target_properties(${target} PROPERTIES OUTPUT_NAME ${output_name})
  if(arg_CORE)
    target_link_libraries(${target} PRIVATE procpool::core)
  else()
    target_link_libraries(${target} PRIVATE procpool::procpool)
  endif()
  if(TARGET procpool_sanitizer_options)
    target_link_libraries(${target} PRIVATE procpool_sanitizer_options)
  endif()
  procpool_warnings(${target})
endfunction()

function(procpool_gtest target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL" "SOURCES;PROPERTIES")
  if(NOT arg_SOURCES)
    return()
  endif()
  procpool_executable(${target} ${target} ${arg_SOURCES})
  target_link_libraries(${target} PRIVATE GTest::gtest_main)
  target_include_directories(${target} PRIVATE
    "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tests" "${PROJECT_SOURCE_DIR}")
  if(PROCPOOL_TEST_UNITY)
    # Fixtures of an included source are in its anonymous namespace as always. A local name may be that of
    # something in another test.
    target_compile_options(${target} PRIVATE
      $<$<CXX_COMPILER_ID:GNU>:-Wno-subobject-linkage -Wno-shadow -Wshadow=local>
      $<$<CXX_COMPILER_ID:Clang>:-Wno-shadow>)
  endif()
  gtest_discover_tests(${target}
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 120
    PROPERTIES TIMEOUT ${PROCPOOL_TEST_TIMEOUT} LABELS ${arg_LABEL} ${arg_PROPERTIES})
endfunction()

function(procpool_run test target)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "LABEL;EXPECTED" "ARGS")
  if(arg_EXPECTED)
    add_test(NAME ${test} COMMAND "${CMAKE_COMMAND}"
      "-Dprogram=$<TARGET_FILE:${target}>" "-Darguments=${arg_ARGS}" "-Dexpected=${arg_EXPECTED}"
      -P "${PROJECT_SOURCE_DIR}/cmake/compare_output.cmake")
  else()
    add_test(NAME ${test} COMMAND ${target} ${arg_ARGS})
  endif()
  set_tests_properties(${test} PROPERTIES TIMEOUT ${PROCPOOL_TEST_TIMEOUT} LABELS ${arg_LABEL})
endfunction()
