// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// DeathLog: the one place from which the death of a worker reaches the log. Each death has a line of
// its own. If workers die without end, the rest of a second is told as a number.
//
// For the dispatcher's thread alone.

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include <procpool/detail/engine/deadline.hpp>

namespace procpool::inline v0_1::parent {

class DeathLog {
 public:
  using TimePoint = detail::TimePoint;
  static constexpr unsigned max_lines = 10;  // in an interval
  static constexpr std::chrono::seconds interval{1};

  // `log` takes a line. `pool` names the pool.
  DeathLog(std::string pool, std::function<void(std::string const&)> log)
      : pool_(std::move(pool)), log_(std::move(log)) {}

  // `how`: "worker 3 (pid 4711) was killed by SIGSEGV"
  void add(std::string const& how, TimePoint now) noexcept;
  // Tells how many were left out, if the interval is over. Returns the time to look again.
  std::optional<TimePoint> flush(TimePoint now) noexcept;
  // The same at the end of the pool, without an interval.
  void finish() noexcept;

 private:
  std::string const pool_;
  std::function<void(std::string const&)> const log_;
  std::optional<TimePoint> since_;  // the begin of the interval
  unsigned lines_ = 0;              // in the interval
  std::uint64_t untold_ = 0;
};

}  // namespace procpool::inline v0_1::parent
