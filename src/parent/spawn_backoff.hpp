// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// SpawnBackoff: the time of the next start of a worker, and the end of all attempts. Failed starts
// and exits without any work delay the next start; a start that succeeds ends the row. Pure: the
// caller reports each event with its time. For one thread, the dispatcher.

#include <chrono>

#include <procpool/detail/engine/deadline.hpp>

namespace procpool::inline v0_1::parent {

class SpawnBackoff {
 public:
  using TimePoint = detail::TimePoint;

  enum class Failure {
    start,          // the worker could not be made, or ended before its first word
    initializer,    // fails again if it has failed once
    external_kill,  // says little about the next start
  };
  // True: further starts are hopeless unless another worker is ready.
  bool start_failed(TimePoint now, Failure failure) noexcept;
  void worker_ready() noexcept;
  void useful_exit() noexcept { useless_exits_ = 0; }
  // Nobody asked for the exit, and the worker had neither begun nor done anything.
  void useless_exit(TimePoint now) noexcept;
  // `in_a_row`: fork servers that were lost before they had forked a worker.
  void fork_server_lost(TimePoint now, unsigned in_a_row) noexcept;

  // No worker is to be started before this time.
  TimePoint next_start() const noexcept { return next_start_; }
  unsigned failed_starts() const noexcept { return failed_starts_; }

 private:
  void delay(TimePoint now, unsigned in_a_row) noexcept;

  // Each of these counts a row without a success between.
  unsigned failed_starts_ = 0;
  unsigned external_kills_ = 0;  // of the failed starts
  unsigned useless_exits_ = 0;
  TimePoint next_start_{};
};

}  // namespace procpool::inline v0_1::parent
