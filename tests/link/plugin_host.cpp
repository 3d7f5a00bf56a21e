// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Opens the plug-in named by its argument and lets it use a pool. The host has the entry hook; the
// plug-in was unknown when the program started, and so it is in every worker.

#include <dlfcn.h>
#include <unistd.h>

#include <cstdio>

#include <procpool.hpp>

static pid_t whose(int) { return getpid(); }

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  procpool::ProcessPool pool{1};
  if (pool.call<whose>(0) == getpid()) return 3;
  void* const plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return 4;
  }
  auto const works = reinterpret_cast<bool (*)()>(dlsym(plugin, "plugin_works"));
  return works != nullptr && works() ? 0 : 1;
}
