# SPDX-FileCopyrightText: The procpool authors
# SPDX-License-Identifier: BSL-1.0
#
# PROCPOOL_SANITIZE: everything that is built here carries these sanitizers.
#
# PROCPOOL_FUZZ: and what libFuzzer needs to see where an input leads.
#
# Sanitizers catch fatal signals by default and turn them into exit codes. Workers must die as they
# would without, so whatever is run in tests also carries procpool_sanitizer_options (see testing.cmake).

if(PROCPOOL_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(PROCPOOL_SANITIZE)
  add_compile_options(-fsanitize=${PROCPOOL_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${PROCPOOL_SANITIZE})
  if(PROCPOOL_SANITIZE MATCHES "undefined")
    add_compile_options(-fno-sanitize-recover=undefined)
  endif()
  if(PROCPOOL_SANITIZE MATCHES "thread")
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
      add_compile_options(-Wno-tsan)  # GCC says of every atomic_thread_fence that it does not see it
    else()
      # Its archive's operator new is not weak: a program that brings its own comes first, and so its own is taken.
      add_link_options(LINKER:--allow-multiple-definition)
    endif()
  endif()
endif()
