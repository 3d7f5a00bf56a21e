# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# procpool-top: the pools of a running program, in the terminal. It has the few sources of the core that it needs,
# since a shared library shows its interface only. Left out where CLI11 is missing.

if(NOT CLI11_FOUND)
  message(STATUS "procpool-top is left out: it needs CLI11 ${PROCPOOL_CLI11_VERSION} (libcli11-dev)")
  return()
endif()
set(sources
  os/fd.cpp
  os/memfd.cpp
  os/text.cpp
  protocol/live_view.cpp
  top/columns.cpp
  top/live_view_reader.cpp
  top/main.cpp
  top/pool_table.cpp
  top/process_table.cpp
  top/program_view.cpp
  top/screen.cpp)
list(TRANSFORM sources PREPEND "${PROJECT_SOURCE_DIR}/src/")
add_executable(procpool_top ${sources})
target_compile_features(procpool_top PRIVATE cxx_std_20)
target_compile_definitions(procpool_top PRIVATE "PROCPOOL_VERSION=\"procpool-top ${PROJECT_VERSION}\"")
target_include_directories(procpool_top PRIVATE "${PROJECT_SOURCE_DIR}/include" "${PROJECT_SOURCE_DIR}/src")
target_link_libraries(procpool_top PRIVATE CLI11::CLI11 Boost::headers)
set_target_properties(procpool_top PROPERTIES OUTPUT_NAME procpool-top)
procpool_warnings(procpool_top)
