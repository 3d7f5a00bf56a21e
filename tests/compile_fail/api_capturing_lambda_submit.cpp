// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: this callable has captures
#include <procpool.hpp>
int use(procpool::ProcessPool& pool, int offset) {
  return pool.submit([offset](int x) { return x + offset; }, 1).get();
}
