// The hook of procpool::procpool: the link option --wrap=main makes the start-up code call __wrap_main
// in place of the program's main. In the program it calls that main; in a worker it never does.
//
// Lies in a static archive of its own, because inside a shared library the option would find no main
// to wrap.

#include <procpool/entry.hpp>

extern "C" {

int __real_main(int argc, char** argv, char** environment);
int __wrap_main(int argc, char** argv, char** environment);

// See entry.cpp: that this exists tells that main is wrapped.
extern __attribute__((visibility("default"))) char const procpool_main_is_wrapped;
char const procpool_main_is_wrapped = 1;

int __wrap_main(int argc, char** argv, char** environment) {
  procpool::init(argc, argv);  // does not return in a worker
  return __real_main(argc, argv, environment);
}
}
