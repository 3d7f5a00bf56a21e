// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host that forks while it has a pool. In the child the pool is inert: nothing of it waits, kills
// or takes; and a new pool can be made there.

#include <sys/wait.h>

#include <memory>
#include <optional>
#include <ranges>
#include <thread>

#include "../support/build.hpp"
#include "common.hpp"

// The pool's thread may still refer to a task that has just ended, and nobody else; in a forked
// child, which has no such thread, it looks lost to the leak sanitizer.
extern "C" char const* __lsan_default_suppressions();
extern "C" char const* __lsan_default_suppressions() { return "leak:start_one\n"; }

namespace {

using programs::check;
using programs::error_text;

int slow_square(int x) {
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  return x * x;
}

void in_the_child(std::unique_ptr<procpool::ProcessPool> pool, procpool::Future<int> running,
                  procpool::Future<int> done) {
  ::alarm(20);  // whatever hangs here ends
  using procpool::SetupError;
  error_text<SetupError>([&] { pool->call<programs::square>(2); });
  error_text<SetupError>([&] { static_cast<void>(pool->submit<programs::square>(2)); });
  error_text<SetupError>([&] { pool->map<programs::square>(std::vector{1, 2}); });
  error_text<SetupError>([&] { running.get(); });
  error_text<SetupError>([&] { done.on_ready([] {}); });
  // Results that had arrived before are there.
  check(done.get() == 9, "a result that was there before the fork");
  pool.reset();
  // The thread sanitizer allows no new threads here.
  if (!support::thread_sanitized) programs::check_pool();
}

int status_of(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  return status;
}

}  // namespace

int main() {
  auto pool = std::make_unique<procpool::ProcessPool>(2);
  auto done = pool->submit<programs::square>(3);
  done.wait();
  std::optional stream = pool->imap<slow_square>(std::views::iota(0, 3));
  check(*stream->begin() == 0, "a stream");
  auto running = pool->submit<slow_square>(4);
  // The callback thread is there too, with something to come.
  std::optional next = pool->submit<slow_square>(5).then([](int x) { return x + 1; });

  pid_t const child = ::fork();
  if (child == 0) {
    error_text<procpool::SetupError>([&] { next->get(); });
    next.reset();
    stream.reset();
    in_the_child(std::move(pool), std::move(running), std::move(done));
    std::_Exit(0);
  }
  check(status_of(child) == 0, "the child");

  // Here nothing has changed.
  check(running.get() == 16, "the task that ran meanwhile");
  check(next->get() == 26, "what came behind it");
  int results = 1;
  for (auto it = stream->begin(); ++it != stream->end();) ++results;
  check(results == 3, "the stream");
  stream.reset();
  check(done.get() == 9, "the task before");
  check(pool->call<programs::square>(5) == 25, "the pool after the fork");
  check(pool->stats().worker_deaths == 0, "no worker was harmed");

  // A child that leaves by exit runs static destructors and unwinds nothing of the pool's threads.
  pid_t const second = ::fork();
  if (second == 0) {
    ::alarm(20);
    std::exit(0);
  }
  check(status_of(second) == 0, "the child that exits");
  check(pool->call<programs::square>(6) == 36, "the pool after the second fork");
}
