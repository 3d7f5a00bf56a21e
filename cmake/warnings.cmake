# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# procpool_warnings(target): what a developer's build warns of. Every warning is an error there.
# Users get none of this: what warns in their build depends on their compiler, not on us.

set(procpool_warning_flags
  -Wall -Wextra -Wpedantic -Werror
  -Wconversion -Wno-sign-conversion   # GCC has the latter apart, Clang inside the former
  -Wshadow
  -Wnon-virtual-dtor -Woverloaded-virtual
  -Wold-style-cast -Wcast-qual
  -Wextra-semi -Wredundant-decls
  -Wundef -Wvla -Wformat=2)

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND procpool_warning_flags -Wduplicated-cond -Wduplicated-branches -Wlogical-op)
elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  # A local name that shadows is meant as a mistake in both; Clang counts more cases than GCC does.
  list(APPEND procpool_warning_flags -Wunreachable-code -Wno-shadow-field-in-constructor)
  # Which mutex guards which field: include/procpool/detail/engine/mutex.hpp.
  list(APPEND procpool_warning_flags -Wthread-safety)
endif()

function(procpool_warnings target)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
  if(PROCPOOL_DEVELOPER)
    target_compile_options(${target} PRIVATE ${procpool_warning_flags})
  endif()
endfunction()
