# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# Runs one model: makes its verifier with Spin, compiles it, explores every state. Given: spin, cc, folder (of
# the models), work (to work in), model, defines, and expected: holds or fails.
#
# holds: no assertion fails, nobody waits for ever, the search was not cut short, and both sides can come to
# their ends. fails: a mistake that was made on purpose is found.

file(REMOVE_RECURSE "${work}")
file(MAKE_DIRECTORY "${work}")
file(COPY "${folder}/memory.pml" "${folder}/${model}.pml" DESTINATION "${work}")
separate_arguments(defines)
execute_process(COMMAND "${spin}" -a ${defines} "${model}.pml" WORKING_DIRECTORY "${work}"
  RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT status EQUAL 0 OR NOT EXISTS "${work}/pan.c")
  message(FATAL_ERROR "spin: ${output}")
endif()
execute_process(COMMAND "${cc}" -O1 -w -DSAFETY -DCOLLAPSE -DMEMLIM=2000 -o pan pan.c WORKING_DIRECTORY "${work}"
  RESULT_VARIABLE status ERROR_VARIABLE output)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "the verifier does not compile: ${output}")
endif()
execute_process(COMMAND "${work}/pan" -m1000000 WORKING_DIRECTORY "${work}" OUTPUT_VARIABLE output ERROR_VARIABLE output)
message("${output}")
if(NOT output MATCHES "errors: ([0-9]+)")
  message(FATAL_ERROR "the verifier came to no end")
endif()
set(errors "${CMAKE_MATCH_1}")
if(expected STREQUAL "fails")
  if(errors EQUAL 0)
    message(FATAL_ERROR "${model} ${defines}: the mistake is not found")
  endif()
  return()
endif()
if(NOT errors EQUAL 0 OR output MATCHES "not completed|max search depth|out of memory")
  message(FATAL_ERROR "${model} ${defines}: does not hold, or was not explored whole")
endif()
# Those who move what is in store buffers never end, in a model that has any.
file(STRINGS "${folder}/${model}.pml" buffers REGEX "^#include \"memory.pml\"")
list(LENGTH buffers endless)
string(REGEX MATCHALL "\"-end-\"" unreached "${output}")
list(LENGTH unreached count)
if(NOT count EQUAL endless)
  message(FATAL_ERROR "${model} ${defines}: a process never comes to its end")
endif()
