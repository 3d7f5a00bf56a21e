// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: this callable has captures
#include <procpool.hpp>
#include <vector>
std::vector<int> use(procpool::ProcessPool& pool, std::vector<int> const& xs, int offset) {
  return pool.map([offset](int x) { return x + offset; }, xs);
}
