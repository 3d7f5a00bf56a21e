// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host whose user may have only a few processes and threads: the argument says how many, this one
// included. The pool works, or says in a SetupError that it cannot. Status 0: it worked. 10: it
// said so. 77: this machine does not let the program become another user, and root has no such
// limit.

#include <sys/prctl.h>
#include <sys/resource.h>

#include "common.hpp"

namespace {

// A user of its own, so that nobody else's processes count; else the one that owns nothing.
bool become_another_user() {
  if (::geteuid() != 0) return true;  // may have other processes: then it has even fewer left
  auto const own = static_cast<uid_t>(2'000'000 + ::getpid());
  return ::setuid(own) == 0 || ::setuid(65534) == 0;
}

int use_a_pool() {
  try {
    procpool::ProcessPool pool{2};
    std::vector<procpool::Future<int>> futures;
    for (int i = 0; i < 20; ++i) futures.push_back(pool.submit<programs::square>(i));
    for (int i = 0; i < 20; ++i) {
      programs::check(futures[static_cast<std::size_t>(i)].get() == i * i, "a result");
    }
    programs::error_text<procpool::WorkerDied>([&] { pool.call<programs::die_at_seven>(7); });
    programs::check(pool.call<programs::square>(9) == 81, "a call after the crash");
    // Continuations need a thread more.
    auto next = pool.submit<programs::square>(3).then([](int x) { return x + 1; });
    programs::check(next.get() == 10, "a continuation");
    return 0;
  } catch (procpool::SetupError const& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 10;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (!become_another_user()) return 77;
  ::prctl(PR_SET_DUMPABLE, 1);  // as after a login: /proc/self is its own again
  rlimit limit{};
  ::getrlimit(RLIMIT_NPROC, &limit);
  rlim_t const before = limit.rlim_cur;
  limit.rlim_cur = static_cast<rlim_t>(std::atoi(argc > 1 ? argv[1] : "4"));
  ::setrlimit(RLIMIT_NPROC, &limit);
  int const status = use_a_pool();
  limit.rlim_cur = before;  // leak checkers start a process
  ::setrlimit(RLIMIT_NPROC, &limit);
  return status;
}
