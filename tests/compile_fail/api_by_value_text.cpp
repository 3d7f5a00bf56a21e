// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// expect: this lambda captured something that is more than its bytes
#include <procpool.hpp>
#include <string>
std::string use(procpool::ProcessPool& pool, std::string const& text) {
  return pool.call(procpool::by_value([text](int) { return text; }), 1);
}
