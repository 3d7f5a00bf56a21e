// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program whose static initialisation starts a thread: such a process must not be forked, so that
// its workers are spawned, whatever the pool was told; and the log says so once.

#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>

#include "common.hpp"

namespace {

std::thread const ever([] {
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
});

pid_t parent_of_worker() { return ::getppid(); }

}  // namespace

int main() {
  std::mutex mutex;
  std::string log;
  {
    procpool::PoolOptions options;
    options.workers = 3;
    options.start.method = procpool::Start::forkserver;
    options.log = [&](std::string_view line) {
      std::lock_guard const lock(mutex);
      log += std::string(line) + "\n";
    };
    procpool::ProcessPool pool{options};
    for (pid_t const parent :
         pool.with({.chunk = 1})
             .map([](int) { return parent_of_worker(); }, std::vector<int>(30))) {
      programs::check(parent == ::getpid(), "workers are the program's children");
    }
    programs::error_text<procpool::WorkerDied>([&] { pool.call<programs::die_at_seven>(7); });
    programs::check(pool.call<programs::square>(4) == 16, "a call after the crash");
    auto const stats = pool.stats();
    programs::check(stats.failed_starts == 0, "no start has failed");
    programs::check(stats.worker_deaths == 1, "one worker has died");
  }
  std::string const sentence = "static initialisation has started a thread";
  auto const at = log.find(sentence);
  programs::check(at != std::string::npos, "the reason is in the log: " + log);
  programs::check(log.find(sentence, at + 1) == std::string::npos, "once: " + log);
  std::_Exit(0);  // the thread never ends
}
