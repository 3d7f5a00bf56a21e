// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: a std::function hides what it holds
#include <functional>
#include <procpool.hpp>
#include <vector>
std::vector<int> use(procpool::ProcessPool& pool, std::function<int(int)> const& f) {
  return pool.map(f, std::vector{1, 2});
}
