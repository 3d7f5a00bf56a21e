// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: this callable has captures
#include <procpool.hpp>
int use(procpool::ProcessPool& pool, int offset) {
  return pool.call(procpool::bind_front([offset](int a, int b) { return a + b + offset; }, 1), 2);
}
