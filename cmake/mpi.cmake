# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# procpool::mpi: the room src/mpijob, which the core knows nothing of. It brings procpool::procpool with it.
#
#   procpool_mpi_library(target mpi)   it with this MPI, for there is no common binary interface of them
#
# Always static: what begins a host is linked with the program itself. Nothing in the program need refer to it, so
# the option procpool_mpi_option asks for it.

set(procpool_mpi_option "LINKER:--undefined=procpool_has_mpi")

function(procpool_mpi_library target mpi)
  list(TRANSFORM procpool_mpi_sources PREPEND "${PROJECT_SOURCE_DIR}/src/" OUTPUT_VARIABLE sources)
  add_library(${target} STATIC ${sources})
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_compile_definitions(${target} PRIVATE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
  target_link_libraries(${target} PUBLIC procpool::procpool ${mpi})
  set_target_properties(${target} PROPERTIES
    EXPORT_NAME mpi
    POSITION_INDEPENDENT_CODE ON
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
  procpool_warnings(${target})
endfunction()

set(procpool_mpi_sources
  mpijob/launch.cpp
  mpijob/mpi_link.cpp
  mpijob/job_link.cpp
  mpijob/job.cpp
  mpijob/mpi.cpp)
procpool_mpi_library(procpool_mpi MPI::MPI_CXX)
target_link_options(procpool_mpi INTERFACE "${procpool_mpi_option}")
add_library(procpool::mpi ALIAS procpool_mpi)
