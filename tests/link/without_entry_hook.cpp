// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// procpool::core and no init: a sentence, not a fork bomb. Every start of this main is counted.

#include <cstdio>
#include <cstring>

#include <procpool.hpp>

static int one(int) { return 1; }

int main() {
  std::puts("main");
  procpool::ProcessPool pool{2};  // starts nothing, so it is allowed
  try {
    pool.call<one>(0);
  } catch (procpool::SetupError const& error) {
    bool const says_what_to_do = std::strstr(error.what(), "procpool::procpool") != nullptr &&
                                 std::strstr(error.what(), "procpool::init") != nullptr;
    return says_what_to_do && pool.stats().worker_starts == 0 ? 0 : 1;
  }
  return 2;
}
