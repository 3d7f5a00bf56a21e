// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: outcomes() has the times of each slice already
#include <procpool.hpp>
#include <vector>
int length(std::vector<int> const& slice) { return static_cast<int>(slice.size()); }
void use(procpool::ProcessPool& pool) {
  pool.outcomes().parallelize_timed<length>(std::vector<int>(10));
}
