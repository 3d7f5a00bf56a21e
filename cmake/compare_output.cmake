# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# cmake -Dprogram=... [-Darguments=...] -Dexpected=... -P compare_output.cmake: runs the program, which
# must leave with status 0, and compares what it writes to standard output with the file, byte for byte.

cmake_minimum_required(VERSION 3.25)

execute_process(COMMAND "${program}" ${arguments} OUTPUT_VARIABLE got RESULT_VARIABLE status)
file(READ "${expected}" want)
if(NOT status EQUAL 0)
  message(NOTICE "${got}")
  message(FATAL_ERROR "${program} ended with ${status}")
endif()
if(NOT got STREQUAL want)
  message(NOTICE "---- written\n${got}---- expected\n${want}----")
  message(FATAL_ERROR "${program} does not write what ${expected} says")
endif()
message(STATUS "output as expected")
