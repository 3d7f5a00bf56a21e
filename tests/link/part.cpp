// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Part of a program in a library of its own, with functions that nobody outside can name.

#include <unistd.h>

#include <numeric>
#include <vector>

#include <procpool.hpp>

namespace {

int hidden_triple(int x) { return 3 * x; }
pid_t whose(int) { return getpid(); }

}  // namespace

__attribute__((visibility("default"))) bool part_works() {
  std::vector<int> xs(100);
  std::iota(xs.begin(), xs.end(), 0);
  procpool::ProcessPool pool{2};
  std::vector<int> const tripled = pool.map<hidden_triple>(xs);
  for (std::size_t i = 0; i < xs.size(); ++i) {
    if (tripled[i] != 3 * xs[i]) return false;
  }
  return pool.call<whose>(0) != getpid();
}
