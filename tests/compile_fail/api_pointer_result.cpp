// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: raw pointer
// expect: procpool_result<double
#include <procpool.hpp>
#include <vector>
double* allocate(int count);
void use(procpool::ProcessPool& pool, std::vector<int> const& counts) {
  (void)pool.map<allocate>(counts);
}
