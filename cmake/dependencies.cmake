# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# Every dependency, named once, with the version that it needs.

set(PROCPOOL_BOOST_VERSION 1.75)      # headers and Boost.Serialization
set(PROCPOOL_CLI11_VERSION 2.1)       # procpool-top only, which is left out without it
set(PROCPOOL_MPI_VERSION 3.0)         # for PROCPOOL_MPI only
set(PROCPOOL_GTEST_VERSION 1.12)      # tests only
set(PROCPOOL_BENCHMARK_VERSION 1.7)   # benchmarks only, and only where it is there
set(PROCPOOL_TBB_VERSION 2021.5)      # a peer in the benchmarks, likewise
set(PROCPOOL_POPPLER_VERSION 22.2)    # examples/cookbook only, where they are there: their versions in Ubuntu 22.04
set(PROCPOOL_JPEG_VERSION 62)
set(PROCPOOL_PNG_VERSION 1.6)
set(PROCPOOL_SPDLOG_VERSION 1.9)

if(POLICY CMP0167)
  cmake_policy(SET CMP0167 NEW)  # CMake 3.30 removed FindBoost; BoostConfig.cmake is found instead
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(Boost ${PROCPOOL_BOOST_VERSION} REQUIRED COMPONENTS serialization)

if(PROCPOOL_TOP)
  find_package(CLI11 ${PROCPOOL_CLI11_VERSION} QUIET)
endif()
if(PROCPOOL_BUILD_TESTS AND NOT PROCPOOL_FUZZ)
  find_package(GTest ${PROCPOOL_GTEST_VERSION} REQUIRED)
endif()
if(PROCPOOL_BUILD_EXAMPLES)
  # Each is of one program in examples/cookbook, which is left out without it.
  find_package(JPEG ${PROCPOOL_JPEG_VERSION} QUIET)
  find_package(PNG ${PROCPOOL_PNG_VERSION} QUIET)
  find_package(spdlog ${PROCPOOL_SPDLOG_VERSION} QUIET)
  find_package(PkgConfig QUIET)
  if(PkgConfig_FOUND)
    pkg_check_modules(PROCPOOL_POPPLER QUIET IMPORTED_TARGET "poppler-cpp>=${PROCPOOL_POPPLER_VERSION}")
  endif()
  include(CheckLanguage)
  check_language(Fortran)
endif()
if(PROCPOOL_BUILD_BENCH)
  find_package(benchmark ${PROCPOOL_BENCHMARK_VERSION} QUIET)
  find_package(TBB ${PROCPOOL_TBB_VERSION} QUIET)
  find_package(Python3 3.11 QUIET COMPONENTS Interpreter)  # of the runner; without it they only compile
endif()
if(PROCPOOL_MPI)
  set(MPI_CXX_SKIP_MPICXX ON)  # the calls of C alone
  find_package(MPI ${PROCPOOL_MPI_VERSION} REQUIRED COMPONENTS CXX)
  # Tests run with every MPI that is installed by the names of Debian.
  find_package(PkgConfig QUIET)
  if(PROCPOOL_BUILD_TESTS AND PkgConfig_FOUND)
    pkg_check_modules(PROCPOOL_OPENMPI QUIET IMPORTED_TARGET ompi-c)
    pkg_check_modules(PROCPOOL_MPICH QUIET IMPORTED_TARGET mpich)
    find_program(PROCPOOL_MPIEXEC_OPENMPI mpiexec.openmpi)
    find_program(PROCPOOL_MPIEXEC_MPICH mpiexec.mpich)
    mark_as_advanced(PROCPOOL_MPIEXEC_OPENMPI PROCPOOL_MPIEXEC_MPICH)
  endif()
endif()
