// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host that may have only a few descriptors: the argument says how many. The pool works, or says
// in a SetupError that it cannot. Status 0: it worked. 10: it said so.

#include <sys/resource.h>

#include "common.hpp"

int main(int argc, char** argv) {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = static_cast<rlim_t>(std::atoi(argc > 1 ? argv[1] : "10"));
  ::setrlimit(RLIMIT_NOFILE, &limit);
  try {
    procpool::ProcessPool pool{2};
    try {
      auto const shared = pool.share(std::string(100'000, 's'));
      programs::check(shared->size() == 100'000, "a shared value");
    } catch (procpool::SetupError const& error) {
      std::string const text = error.what();
      programs::check(text.find("cannot be shared") != std::string::npos, "what it was for");
      programs::check(text.find("RLIMIT_NOFILE, is " + std::string(argv[1])) != std::string::npos,
                      "the limit");
    }
    for (int i = 0; i < 20; ++i) {
      programs::check(pool.call<programs::square>(i) == i * i, "a call");
    }
    // Each needs a descriptor more, for a moment.
    std::vector<std::string> const texts(6, std::string(100'000, 't'));
    auto const echo = [](std::string text) { return text; };
    programs::check(pool.map(echo, texts) == texts, "large messages");
  } catch (procpool::SetupError const& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 10;
  }
}
