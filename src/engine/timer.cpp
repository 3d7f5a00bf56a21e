// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/async/timer.hpp>

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <map>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include <procpool/detail/engine/mutex.hpp>
#include <procpool/errors.hpp>

#include "engine/fork_detection.hpp"

namespace procpool::inline v0_1::detail {
namespace {

// The thread waits so long for a further timer.
constexpr std::chrono::milliseconds linger{200};

class Timers {
 public:
  // Never freed: the thread may use it until the program ends. A forked child makes its own.
  static Timers& here() {
    static std::atomic<Timers*> known{nullptr};
    Timers* found = known.load(std::memory_order_acquire);
    while (found == nullptr || forked_since(found->forks_)) {
      auto made = std::make_unique<Timers>();
      // Release: a thread that finds the object sees its contents. Acquire on failure: another
      // thread was faster.
      if (known.compare_exchange_strong(found, made.get(), std::memory_order_acq_rel,
                                        std::memory_order_acquire)) {
        found = made.release();
      }
    }
    return *found;
  }

  void start(std::shared_ptr<Timer> const& timer, TimePoint time) {
    Lock const lock(mutex_);
    auto const place = timers_.emplace(std::pair(time, timer.get()), timer).first;
    try {
      if (!running_) run();
    } catch (std::system_error const& error) {
      timers_.erase(place);
      throw SetupError(std::string("there is no thread for timers: ") + error.what());
    }
    if (place == timers_.begin()) changed_.notify_one();
  }

  void cancel(Timer const& timer, TimePoint time) noexcept {
    Lock const lock(mutex_);
    timers_.erase(std::pair(time, &timer));
  }

 private:
  void run() PROCPOOL_REQUIRES(mutex_) {
    std::thread thread([this] { loop(); });
    pthread_setname_np(thread.native_handle(), "pool timers");
    thread.detach();
    running_ = true;
  }

  void loop() noexcept {
    Lock lock(mutex_);
    for (;;) {
      if (timers_.empty()) {
        TimePoint const end = std::chrono::steady_clock::now() + linger;
        while (timers_.empty() && changed_.wait_until(lock, end)) {
        }
        if (timers_.empty()) break;
      }
      TimePoint const next = timers_.begin()->first.first;
      if (std::chrono::steady_clock::now() < next) {
        changed_.wait_until(lock, next);
        continue;
      }
      auto const timer = timers_.begin()->second.lock();
      timers_.erase(timers_.begin());
      if (!timer) continue;
      lock.unlock();
      timer->due();
      lock.lock();
    }
    running_ = false;
  }

  unsigned const forks_ = fork_count();
  Mutex mutex_;
  Condition changed_;
  std::map<std::pair<TimePoint, Timer const*>, std::weak_ptr<Timer>> timers_
      PROCPOOL_GUARDED_BY(mutex_);
  bool running_ PROCPOOL_GUARDED_BY(mutex_) = false;
};

}  // namespace

Timer::~Timer() = default;

void Timer::start(std::shared_ptr<Timer> const& timer, TimePoint time) {
  Timers::here().start(timer, time);
}

void Timer::cancel(Timer const& timer, TimePoint time) noexcept {
  Timers::here().cancel(timer, time);
}

}  // namespace procpool::inline v0_1::detail
