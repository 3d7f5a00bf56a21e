// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Tally: the counters of a pool that nothing is decided by: those of its elements and workers for
// stats(), those of each place for worker_stats(), and the summary of its end.
//
// Pure. The core guards its tally with its mutex.

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <procpool/stats.hpp>

namespace procpool::inline v0_1::parent {

struct ExitReport;

class Tally {
 public:
  // Throws std::bad_alloc, having changed nothing.
  void resize(std::size_t workers);

  // ---- elements
  void add_records(std::uint64_t sent) noexcept { stats_.records += sent; }
  void remove_records(std::uint64_t unsent) noexcept { stats_.records -= unsent; }
  void count_retry() noexcept { ++stats_.retries; }
  void count_actor_restart() noexcept { ++stats_.actor_restarts; }
  // A clock would cost each call of a microsecond several percent of its time. So of calls with one
  // element some are looked at, and stand for the others. Returns for how many this one stands; 0: it
  // is not looked at.
  unsigned count_call() noexcept {
    constexpr std::uint64_t all = 4096;
    constexpr unsigned shift = 60;
    std::uint64_t const number = calls_++;
    if (number < all) return 1;
    // Their order must not matter, such as each second one being another function.
    return number * 0x9e3779b97f4a7c15U >> shift == 0 ? 1U << (64U - shift) : 0;
  }
  // These waited so long, each of which stands for so many.
  void count_waited(std::chrono::nanoseconds time, std::uint64_t elements) noexcept {
    stats_.waited.add(time, elements);
  }
  // A worker has answered these, which took it so long, as it says.
  void count_answered(std::size_t worker, std::uint64_t elements,
                      std::uint64_t nanoseconds) noexcept;
  void count_ended(std::uint64_t elements, bool cancelled) noexcept {
    (cancelled ? summary_.cancelled : summary_.done) += elements;
  }

  // ---- workers
  void count_start(std::size_t worker, pid_t pid) noexcept;
  void count_failed_start() noexcept { ++stats_.failed_starts; }
  // A worker is to be killed because its element was cancelled, or ran for too long.
  void count_marked_for_kill(bool cancelled) noexcept {
    ++(cancelled ? stats_.workers_cancelled : stats_.workers_timed_out);
  }
  // `killing`: the pool kills all of its workers. True: the pool had not asked for the end.
  bool count_exit(std::size_t worker, ExitReport const& report, std::string const& text,
                  bool killing) noexcept;
  // Replaces the begin of the text of the last exit, if it is `from`.
  void amend_last_end(std::size_t worker, std::string_view from, std::string_view to);
  void count_forced() noexcept { ++summary_.forced; }

  // Only the counters of the tally; the others are zero.
  Stats const& stats() const noexcept { return stats_; }
  std::vector<WorkerStats> const& workers() const noexcept { return workers_; }
  Summary const& summary() const noexcept { return summary_; }

 private:
  Stats stats_;
  std::uint64_t calls_ = 0;
  std::vector<WorkerStats> workers_;
  Summary summary_;
};

}  // namespace procpool::inline v0_1::parent
