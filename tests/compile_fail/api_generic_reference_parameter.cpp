// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: the function cannot be called with these arguments
#include <procpool.hpp>
#include <vector>
void use(procpool::ProcessPool& pool, std::vector<int>& xs) {
  pool.map([](auto& x) { ++x; }, xs);
}
