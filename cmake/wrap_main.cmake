# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# procpool::procpool: the core, and the entry hook that takes a worker over before the program's own main.
#
# --wrap=main makes the C runtime's start code call __wrap_main, which lies in an archive of its own
# that is always static: inside a shared library a wrapped symbol is not found. The archive stands
# before the core on the link line because it calls into it. Programs that cannot have their main
# wrapped link procpool::core and call procpool::init(argc, argv) themselves.

add_library(procpool_main STATIC "${PROJECT_SOURCE_DIR}/src/entry/wrap_main.cpp")
add_library(procpool::main ALIAS procpool_main)
target_include_directories(procpool_main PRIVATE "${PROJECT_SOURCE_DIR}/src")
target_link_libraries(procpool_main PUBLIC procpool::core)
# A wrapped symbol must be seen by the linker itself, so it never hides in link-time-optimised code.
target_compile_options(procpool_main PRIVATE -fno-lto)
set_target_properties(procpool_main PROPERTIES
  EXPORT_NAME main
  POSITION_INDEPENDENT_CODE ON
  INTERPROCEDURAL_OPTIMIZATION OFF)
procpool_warnings(procpool_main)

add_library(procpool INTERFACE)
add_library(procpool::procpool ALIAS procpool)
target_link_libraries(procpool INTERFACE procpool_main)
# With main wrapped nothing asks for the plain name early enough to fetch it from an archive such as
# gtest_main that happens to stand before ours; --undefined asks.
# The exported symbol tells plug-ins and libraries with a core of their own that main is wrapped.
target_link_options(procpool INTERFACE
  "LINKER:--wrap=main"
  "LINKER:--export-dynamic-symbol=procpool_main_is_wrapped"
  "$<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:LINKER:--undefined=main>")

# procpool-worker: what workers execute if the main of the program is not ours. It opens the module that has
# the library, so that it has nothing of the library itself.
add_executable(procpool_worker "${PROJECT_SOURCE_DIR}/src/entry/procpool_worker.cpp")
target_compile_features(procpool_worker PRIVATE cxx_std_20)
target_link_libraries(procpool_worker PRIVATE ${CMAKE_DL_LIBS})
set_target_properties(procpool_worker PROPERTIES OUTPUT_NAME procpool-worker EXPORT_NAME worker)
add_executable(procpool::worker ALIAS procpool_worker)
procpool_warnings(procpool_worker)
