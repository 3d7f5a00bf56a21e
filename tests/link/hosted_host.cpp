// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host as in C: it opens the library that its argument names, and calls it.

#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  void* const library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    fprintf(stderr, "%s\n", dlerror());
    return 3;
  }
  auto const spawn = reinterpret_cast<int (*)(int)>(dlsym(library, "hosted_spawn"));
  auto const fork = reinterpret_cast<int (*)(int)>(dlsym(library, "hosted_fork"));
  if (spawn == nullptr || fork == nullptr) return 4;
  int const spawned = spawn(10);
  int const forked = fork(10);
  printf("%d %d\n", spawned, forked);
  return spawned == 294 && forked == 1294 ? 0 : 1;
}
