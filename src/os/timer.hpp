// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Timer: a timerfd, for a thread that waits for it beside other descriptors. Any thread may arm it;
// arming wakes no thread. No worker holds it. A crash leaves nothing.

#include <chrono>

#include "os/fd.hpp"

namespace procpool::inline v0_1::os {

class Timer {
 public:
  Timer();
  // With an empty descriptor: a timer that can only be assigned to.
  explicit Timer(UniqueFd fd) noexcept : fd_(std::move(fd)) {}

  // The timer becomes readable when this time, which is more than zero, is over, or before if it was
  // armed for an earlier moment.
  void arm(std::chrono::microseconds time) const noexcept;

  // Makes it unreadable until it is armed again.
  void drain() const noexcept;

  int fd() const noexcept { return fd_.get(); }

 private:
  UniqueFd fd_;
};

}  // namespace procpool::inline v0_1::os
