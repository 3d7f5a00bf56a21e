# How tests and examples are made. No ctest is without a hard limit.
#
#   procpool_executable(target output_name source... [CORE])   a program linked with procpool::procpool
#                                                              (CORE: with procpool::core)
#   procpool_gtest(target LABEL label SOURCES source... [PROPERTIES name value...])
#                                                              one binary, one ctest per gtest case
#   procpool_run(test target LABEL label [EXPECTED file] [ARGS arg...])
#                                                              run it: status 0, and exactly this stdout

set(PROCPOOL_TEST_TIMEOUT 60 CACHE STRING "Seconds that one test may take")

# Sanitizers leave fatal signals alone (a worker that is meant to die by SIGSEGV does), and refuse
# absurd allocations as malloc does. Linked into each program rather than set in the environment, so
# that it holds in workers with a scrubbed environment too; ASAN_OPTIONS and the like still win.
if(PROCPOOL_SANITIZE)
  add_library(procpool_sanitizer_options OBJECT "${PROJECT_SOURCE_DIR}/cmake/sanitizer_options.cpp")
endif()

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
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}/tests")
  gtest_discover_tests(${target}
    DISCOVERY_MODE PRE_TEST
    DISCOVERY_TIMEOUT 120
    PROPERTIES TIMEOUT ${PROCPOOL_TEST_TIMEOUT} LABELS ${arg_LABEL} ${arg_PROPERTIES})
endfunction()

function(procpool_run test target)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "LABEL;EXPECTED" "ARGS")
  if(arg_EXPECTED)
    add_test(NAME ${test} COMMAND "${CMAKE_COMMAND}"
      "-Dprogram=$<TARGET_FILE:${target}>" "-Dexpected=${arg_EXPECTED}"
      -P "${PROJECT_SOURCE_DIR}/cmake/compare_output.cmake")
  else()
    add_test(NAME ${test} COMMAND ${target} ${arg_ARGS})
  endif()
  set_tests_properties(${test} PROPERTIES TIMEOUT ${PROCPOOL_TEST_TIMEOUT} LABELS ${arg_LABEL})
endfunction()
