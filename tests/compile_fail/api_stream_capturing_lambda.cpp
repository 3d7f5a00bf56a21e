// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: this callable has captures
#include <procpool.hpp>
void use(procpool::ProcessPool& pool, std::vector<int> const& xs, int offset) {
  static_cast<void>(pool.imap([offset](int x) { return x + offset; }, xs));
}
