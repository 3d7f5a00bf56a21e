# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# procpool_mpi: the room src/mpijob, which the core knows nothing of.
#
#   procpool_mpi_library(target mpi)   it with this MPI, for there is no common binary interface of them

function(procpool_mpi_library target mpi)
  add_library(${target} STATIC
    "${PROJECT_SOURCE_DIR}/src/mpijob/launch.cpp"
    "${PROJECT_SOURCE_DIR}/src/mpijob/mpi_link.cpp")
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/src")
  target_compile_definitions(${target} PUBLIC OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)
  target_link_libraries(${target} PUBLIC procpool::core ${mpi})
  set_target_properties(${target} PROPERTIES
    POSITION_INDEPENDENT_CODE ON
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON)
  procpool_warnings(${target})
endfunction()

procpool_mpi_library(procpool_mpi MPI::MPI_CXX)
