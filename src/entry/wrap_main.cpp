// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The entry hook of procpool::procpool. The link option --wrap=main makes the start-up code call
// __wrap_main in place of the main of the program. In the program, __wrap_main calls that main; in
// a worker it never does. A function that the start-up code calls before all constructors removes
// the worker mark from the environment.
//
// This source is a static archive of its own: inside a shared library the option would find no main
// to wrap, and a shared library can have no function before the constructors.

#include <procpool/entry.hpp>

#include "entry/mark.hpp"

extern "C" {

int __real_main(int argc, char** argv, char** environment);
int __wrap_main(int argc, char** argv, char** environment);

// See mark.cpp: that this exists tells that main is wrapped.
extern __attribute__((visibility("default"))) char procpool_main_is_wrapped;
char procpool_main_is_wrapped = 1;

int __wrap_main(int argc, char** argv, char** environment) {
  procpool::init(argc, argv);  // does not return in a worker
  return __real_main(argc, argv, environment);
}
}

namespace {

// No sanitizer is ready by then, except where it stands in the same list ahead of this.
__attribute__((no_sanitize("address", "thread", "undefined"))) void before_constructors(
    int, char**, char** environment) {
  procpool_take_mark(environment);
}

__attribute__((section(".preinit_array"),
               used)) void (*const before_all_constructors)(int, char**,
                                                            char**) = before_constructors;

}  // namespace
