# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# Compiles through ccache where it is installed. Not required.

find_program(PROCPOOL_CCACHE ccache DOC "ccache; empty: compile without it")
mark_as_advanced(PROCPOOL_CCACHE)

if(PROCPOOL_CCACHE AND NOT DEFINED CMAKE_CXX_COMPILER_LAUNCHER)
  # The sloppiness is what ccache asks for where precompiled headers are used.
  set(CMAKE_CXX_COMPILER_LAUNCHER
    "${CMAKE_COMMAND}" -E env CCACHE_SLOPPINESS=pch_defines,time_macros "${PROCPOOL_CCACHE}")
endif()
