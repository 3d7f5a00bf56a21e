# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# cmake -Dbuild= -Dprefix= -P install.cmake: installs the build folder under a prefix that was empty.
# With -Dsource= and -Doptions=-DA=1|-DB=2 the folder is first configured and built.

cmake_minimum_required(VERSION 3.25)

if(source)
  string(REPLACE "|" ";" options "${options}")
  execute_process(COMMAND "${CMAKE_COMMAND}" -S "${source}" -B "${build}" ${options}
    COMMAND_ERROR_IS_FATAL ANY)
  execute_process(COMMAND "${CMAKE_COMMAND}" --build "${build}" --parallel 2
    COMMAND_ERROR_IS_FATAL ANY)
endif()

file(REMOVE_RECURSE "${prefix}")
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${build}" --prefix "${prefix}"
  COMMAND_ERROR_IS_FATAL ANY)
