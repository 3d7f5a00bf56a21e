// A timer that a thread can wait for beside other descriptors: a timerfd. Any thread may arm it; arming
// wakes nobody, which is what it is for. No worker holds it. A crash leaves nothing.
#pragma once

#include <chrono>

#include "os/fd.hpp"

namespace procpool::inline v0::os {

class Timer {
 public:
  Timer();
  // One that is not there: only to be assigned to.
  explicit Timer(UniqueFd fd) noexcept : fd_(std::move(fd)) {}

  // It becomes readable when this time is over, which is more than none; an earlier arming is forgotten.
  void arm(std::chrono::milliseconds time) const noexcept;

  // It is not readable any more.
  void drain() const noexcept;

  int fd() const noexcept { return fd_.get(); }

 private:
  UniqueFd fd_;
};

}  // namespace procpool::inline v0::os
