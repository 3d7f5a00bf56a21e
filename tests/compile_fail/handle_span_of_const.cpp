// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: they do not convert to its parameters
#include <procpool.hpp>
#include <span>
void fill(std::span<int> numbers) { numbers[0] = 1; }
void use(procpool::ProcessPool& pool, procpool::SharedArray<int const> const& numbers) {
  pool.call<fill>(numbers);
}
