// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// procpool-worker: the program that workers run if the program that has the pool cannot be executed
// anew, because its main is not ours: an interpreter, or a program in C. It opens the module that
// has the library, and becomes a worker there, with the module's own copy of the library.
//
//   procpool-worker TITLE MODULE
//
// The mark of a worker is taken by a constructor of the module. The parent compares the builds of
// all modules before it gives the worker anything, see worker_main().

#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char** argv) {
  if (argc != 3) {
    fputs("procpool-worker: pools start this program for workers; it is of no use by itself\n",
          stderr);
    return 1;
  }
  void* const module = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
  if (module == nullptr) {
    fprintf(stderr, "procpool-worker: %s\n", dlerror());
    return 1;
  }
  auto const become_worker =
      reinterpret_cast<int (*)(int, char**)>(dlsym(module, "procpool_become_worker"));
  if (become_worker == nullptr) {
    fprintf(stderr, "procpool-worker: %s has no procpool, or hides its symbols\n", argv[2]);
    return 1;
  }
  return become_worker(argc, argv);
}
