// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Watchdog: makes a hang a failure that says what was outstanding. A waiting thread says so with a
// Wait; one that takes longer than the limit ends the program: all waits, the pool's counters, its
// workers and their states, and where the program's threads are, go to standard error first.
// TEST_STAY in the environment: the program stays as it is instead, for a debugger.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <procpool.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <utility>

#include "build.hpp"
#include "processes.hpp"

namespace support {

class Watchdog {
  using Clock = std::chrono::steady_clock;

 public:
  // Below the time that a test has in all, so that the last word is this one's.
  static constexpr std::chrono::seconds limit{sanitized ? 120 : 40};

  // For one thing that somebody waits for.
  class Wait {
   public:
    Wait(Watchdog& dog, std::string what) : dog_(dog), id_(dog.enter(std::move(what))) {}
    Wait(Wait const&) = delete;
    Wait& operator=(Wait const&) = delete;
    ~Wait() { dog_.leave(id_); }

   private:
    Watchdog& dog_;
    std::uint64_t const id_;
  };

  // The pool must outlive it; null: there is none to tell of.
  explicit Watchdog(procpool::ProcessPool const* pool = nullptr,
                    std::chrono::milliseconds most = limit)
      : pool_(pool), max_(most), thread_([this] { run(); }) {}
  Watchdog(Watchdog const&) = delete;
  Watchdog& operator=(Watchdog const&) = delete;
  ~Watchdog() {
    {
      std::lock_guard const lock(mutex_);
      over_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

 private:
  struct Entry {
    std::string what;
    Clock::time_point since;
  };

  std::uint64_t enter(std::string what) {
    std::lock_guard const lock(mutex_);
    waits_.emplace(++last_, Entry{std::move(what), Clock::now()});
    return last_;
  }
  void leave(std::uint64_t id) {
    std::lock_guard const lock(mutex_);
    waits_.erase(id);
  }

  void run() {
    std::unique_lock lock(mutex_);
    while (!changed_.wait_for(lock, std::chrono::milliseconds(200), [this] { return over_; })) {
      // In the order in which they began: the first is the oldest.
      if (!waits_.empty() && Clock::now() - waits_.begin()->second.since > max_) bark();
    }
  }

  [[noreturn]] void bark() {
    std::ostringstream text;
    text << "\nSTUCK: the first of these has been waited for longer than " << max_.count()
         << " ms\n";
    for (auto const& [id, entry] : waits_) {
      text << "  " << std::chrono::duration<double>(Clock::now() - entry.since).count() << " s  "
           << entry.what << "\n";
    }
    for (pid_t const thread : numbers_in("/proc/self/task")) {
      std::string const folder = "/proc/self/task/" + std::to_string(thread) + "/";
      std::string name = read_text(folder + "comm");
      if (name.ends_with('\n')) name.pop_back();
      text << "  thread " << thread << " " << name << " waits in " << read_text(folder + "wchan")
           << "\n";
    }
    std::fputs(text.str().c_str(), stderr);
    // The pool may be what is stuck, also for who asks it: last, and not for ever.
    if (pool_ != nullptr) {
      std::thread([pool = pool_] { tell_of(*pool); }).detach();
      std::this_thread::sleep_for(std::chrono::seconds(3));
    }
    std::fflush(nullptr);
    while (std::getenv("TEST_STAY") != nullptr) std::this_thread::sleep_for(std::chrono::hours(1));
    std::abort();
  }

  static void tell_of(procpool::ProcessPool const& pool) {
    std::ostringstream text;
    procpool::Stats const stats = pool.stats();
    text << "  pool: submitted " << stats.submitted << ", queued " << stats.queued << ", running "
         << stats.running << ", done " << stats.done << "; workers ready " << stats.workers
         << " of " << pool.size() << ", starts " << stats.worker_starts << ", failed starts "
         << stats.failed_starts << ", deaths " << stats.worker_deaths << ", retries "
         << stats.retries << "\n";
    for (procpool::WorkerStats const& worker : pool.worker_stats()) {
      char const state = worker.pid == 0 ? '-' : stat_of(worker.pid).state;
      text << "  worker " << worker.index << ": pid " << worker.pid << ", state "
           << (state == '\0' ? '?' : state) << ", done " << worker.done
           << "; the last one: " << worker.last_end << "\n";
    }
    std::fputs(text.str().c_str(), stderr);
  }

  procpool::ProcessPool const* const pool_;
  std::chrono::milliseconds const max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;
  std::uint64_t last_ = 0;
  std::map<std::uint64_t, Entry> waits_;
  std::thread thread_;
};

}  // namespace support
