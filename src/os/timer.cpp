// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Arming and draining a timerfd. Any thread.
#include "os/timer.hpp"

#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

namespace procpool::inline v0_1::os {

Timer::Timer() {
  int const fd = ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (fd < 0) throw_errno("procpool could not make a timer");
  fd_ = above_standard(UniqueFd(fd));
}

void Timer::arm(std::chrono::microseconds time) const noexcept {
  int const kept = errno;
  auto const whole = std::chrono::floor<std::chrono::seconds>(time);
  itimerspec once{};
  once.it_value.tv_sec = static_cast<std::time_t>(whole.count());
  once.it_value.tv_nsec = static_cast<long>(std::chrono::nanoseconds(time - whole).count());
  itimerspec before{};  // what was left of an earlier arming; zero: it was not armed
  ::timerfd_settime(fd_.get(), 0, &once, &before);
  auto const left = [](itimerspec const& timer) {
    return std::pair(timer.it_value.tv_sec, timer.it_value.tv_nsec);
  };
  bool const was_armed = left(before) != left(itimerspec{});
  if (was_armed && left(before) < left(once)) {
    ::timerfd_settime(fd_.get(), 0, &before, nullptr);
  }
  errno = kept;
}

void Timer::drain() const noexcept {
  int const kept = errno;
  std::uint64_t times = 0;
  // EAGAIN: the timer was not readable.
  static_cast<void>(::read(fd_.get(), &times, sizeof times));
  errno = kept;
}

}  // namespace procpool::inline v0_1::os
