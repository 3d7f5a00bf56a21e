// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: takes a parameter by non-const reference
#include <procpool.hpp>
#include <vector>
void sort_them(std::vector<int>& numbers);
void use(procpool::ProcessPool& pool, std::vector<std::vector<int>>& rows) {
  pool.map<sort_them>(rows);
}
