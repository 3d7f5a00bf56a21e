// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: the function cannot be called with these arguments
#include <procpool.hpp>
int first(int x) { return x; }
int use(procpool::ProcessPool& pool, std::vector<int> const& xs) {
  return pool.parallelize<first>(xs).front();
}
