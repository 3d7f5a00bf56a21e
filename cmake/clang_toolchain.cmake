# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# The newest Clang that is installed, for the clang preset. CXX in the environment wins.

if(NOT CMAKE_CXX_COMPILER)
  if(DEFINED ENV{CXX})
    set(CMAKE_CXX_COMPILER "$ENV{CXX}" CACHE STRING "C++ compiler")
  else()
    foreach(version RANGE 30 16 -1)
      list(APPEND procpool_clang_names clang++-${version})
    endforeach()
    find_program(CMAKE_CXX_COMPILER NAMES ${procpool_clang_names} clang++ NAMES_PER_DIR REQUIRED)
  endif()
endif()
