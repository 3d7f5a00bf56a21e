// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host without standard input, output or error; the argument says which are closed, "012" being
// all.

#include <string_view>

#include "common.hpp"

int main(int argc, char** argv) {
  for (char const digit : std::string_view(argc > 1 ? argv[1] : "012")) ::close(digit - '0');
  programs::check_pool();
  {
    // Messages that need descriptors of their own, which are given the low numbers.
    procpool::ProcessPool pool{2};
    std::vector<std::string> const texts(6, std::string(100'000, 't'));
    auto const echo = [](std::string text) { return text; };
    programs::check(pool.map(echo, texts) == texts, "large messages");
  }
}
