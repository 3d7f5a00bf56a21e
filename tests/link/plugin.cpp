// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A plug-in with functions of its own, which workers find by opening it.

#include <unistd.h>

#include <vector>

#include <procpool.hpp>

namespace {

int plugged(int x) { return x * 7; }

}  // namespace

extern "C" __attribute__((visibility("default"))) bool plugin_works() {
  procpool::ProcessPool pool{2};
  return pool.map<plugged>(std::vector{1, 2, 3}) == std::vector{7, 14, 21} &&
         pool.call([](int) { return getpid(); }, 0) != getpid();
}
