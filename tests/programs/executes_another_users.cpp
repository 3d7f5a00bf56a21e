// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The program of a user who is not root, and a task that executes a program which is root's (its
// path is the first argument): the worker cannot be signalled any more. The second argument says
// what ends that call (deadline, cancel, terminate) within its limit; the pool goes on with a
// replacement, the process is left alone, and reaped once it has ended. Says its pid. Status 0: so
// it was. 77: this machine does not let it happen.

#include <poll.h>
#include <sys/prctl.h>

#include <cerrno>
#include <chrono>

#include "common.hpp"

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// SIGTERM, SIGKILL and a second, and what a loaded machine adds.
constexpr auto limit = 4s;

int execute(std::string const& path, std::string const& file) {
  ::execl(path.c_str(), path.c_str(), file.c_str(), nullptr);
  return errno;
}

bool may_be_signalled(pid_t pid) { return ::kill(pid, 0) == 0; }
bool is_there(pid_t pid) { return ::kill(pid, 0) == 0 || errno == EPERM; }

template <class Condition>
bool until(Condition const& condition, std::chrono::milliseconds most) {
  auto const end = Clock::now() + most;
  while (!condition()) {
    if (Clock::now() > end) return false;
    ::poll(nullptr, 0, 2);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  programs::check(argc > 2, "the arguments");
  std::string const path = argv[1];
  std::string const what = argv[2];
  if (::geteuid() != 0) return 77;
  // If a range of users is mapped, numbers may be few.
  if (::setgid(65534) != 0) return 77;
  if (::setuid(static_cast<uid_t>(2'000'000 + ::getpid())) != 0 && ::setuid(65534) != 0) return 77;
  ::prctl(PR_SET_DUMPABLE, 1);  // as after a login: /proc/self is its own again

  procpool::PoolOptions options;
  options.workers = 1;
  options.start.method = programs::start_of(argc, argv);
  options.log = [](std::string_view text) {
    std::printf("log: %.*s\n", static_cast<int>(text.size()), text.data());
    std::fflush(stdout);
  };
  procpool::ProcessPool pool{options};
  programs::check(pool.call<programs::square>(2) == 4, "a call");
  pid_t const pid = pool.worker_stats().at(0).pid;
  char stays_for[] = "/tmp/procpool-stays-XXXXXX";
  programs::check(::mkstemp(stays_for) >= 0, "a file");
  procpool::CallOptions call;
  if (what == "deadline") call.timeout = 1s;
  auto future = pool.with(call).submit<execute>(path, std::string(stays_for));
  // Until it is root's: before, it is killed as any worker is.
  programs::check(until([&] { return !may_be_signalled(pid); }, 20s), "it executes the program");
  if (!is_there(pid)) return 77;
  std::printf("pid %d\n", static_cast<int>(pid));
  std::fflush(stdout);

  auto const begin = Clock::now();
  if (what == "deadline") {
    programs::error_text<procpool::TaskTimeout>([&] { future.get(); });
  } else if (what == "cancel") {
    programs::check(future.cancel() == procpool::Cancel::ended, "what cancel() says");
    programs::error_text<procpool::TaskCancelled>([&] { future.get(); });
  } else {
    pool.terminate();
    programs::error_text<procpool::TaskCancelled>([&] { future.get(); });
  }
  auto const took = Clock::now() - begin;
  programs::check(took < limit, "it took too long");
  programs::check(is_there(pid), "the process is left alone");
  if (what == "terminate") {
    ::unlink(stays_for);
    return 0;
  }

  programs::check(pool.call<programs::square>(3) == 9, "a call of the replacement");
  programs::check(pool.worker_stats().at(0).pid != pid, "another process");
  programs::check(is_there(pid), "the process is left alone while the pool goes on");
  ::unlink(stays_for);
  programs::check(until([&] { return !is_there(pid); }, 10s), "it is reaped once it has ended");
  programs::check(pool.call<programs::square>(4) == 16, "the replacement goes on");
  programs::check(pool.stats().worker_deaths == 0, "all of them were asked to leave");
  return 0;
}
