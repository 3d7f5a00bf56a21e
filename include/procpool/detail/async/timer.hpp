// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Timer: a call that is made at a point in time, on a thread of its own that all timers of the
// program share. The thread is made with the first timer, and ends when there is none. Any thread.

#include <memory>

#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

class PROCPOOL_API Timer {
 public:
  Timer() = default;
  Timer(Timer const&) = delete;
  Timer& operator=(Timer const&) = delete;
  virtual ~Timer();

  // Once, on the timers' thread. Short, and never code of the user.
  virtual void due() noexcept = 0;

  // Calls due() at that time, if the timer still exists. Throws SetupError if there is no thread.
  static void start(std::shared_ptr<Timer> const& timer, TimePoint time);
  // Does not wait for a call that is being made.
  static void cancel(Timer const& timer, TimePoint time) noexcept;
};

}  // namespace procpool::inline v0_1::detail
