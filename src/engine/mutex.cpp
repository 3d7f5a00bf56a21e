// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/engine/mutex.hpp>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>

namespace procpool::inline v0_1::detail {

Condition::~Condition() { pthread_cond_destroy(&condition_); }

void Condition::wait(Lock& lock) { pthread_cond_wait(&condition_, lock.mutex_.native_handle()); }

bool Condition::wait_until(Lock& lock, TimePoint deadline) {
  using std::chrono::nanoseconds;
  using std::chrono::seconds;
  nanoseconds const time = std::max<nanoseconds>(deadline.time_since_epoch(), nanoseconds(0));
  seconds const whole = std::chrono::floor<seconds>(time);
  timespec const end{.tv_sec = static_cast<std::time_t>(whole.count()),
                     .tv_nsec = static_cast<long>((time - whole).count())};
  return pthread_cond_clockwait(&condition_, lock.mutex_.native_handle(), CLOCK_MONOTONIC, &end) !=
         ETIMEDOUT;
}

void Condition::notify_one() noexcept { pthread_cond_signal(&condition_); }

void Condition::notify_all() noexcept { pthread_cond_broadcast(&condition_); }

}  // namespace procpool::inline v0_1::detail
