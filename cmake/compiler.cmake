# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# Refuses compilers that are known to be too old, with a sentence instead of a page of template errors.

set(procpool_min_GNU 12)
set(procpool_min_Clang 16)

if(DEFINED procpool_min_${CMAKE_CXX_COMPILER_ID}
    AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS procpool_min_${CMAKE_CXX_COMPILER_ID})
  message(FATAL_ERROR "procpool needs GCC ${procpool_min_GNU} or Clang ${procpool_min_Clang}, or newer; "
    "this is ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} (${CMAKE_CXX_COMPILER})")
endif()
