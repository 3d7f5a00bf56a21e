// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The event log of a process that may die at any sync point. It lies in memory that the process shares
// with the test. The test says at which point, counted from the start of the process, it stops
// (SIGSTOP) and at which it dies (SIGKILL).
//
// `Logger` serves the armed process, on one thread. The test reads the log while that process is
// stopped or dead.

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <new>

#include <procpool/detail/engine/stage.hpp>

#include "os/event.hpp"
#include "support/sync_points.hpp"

namespace procpool::steps {

using detail::Stage;
using sync_points::SyncPoint;

inline constexpr unsigned max_elements = 256;

// The places where a process can be: behind a sync point, or inside an element.
inline constexpr unsigned stage_count = static_cast<unsigned>(Stage::saving) + 1;
inline constexpr unsigned point_count = sync_points::point_count + stage_count;

constexpr unsigned point_of(SyncPoint point) { return static_cast<unsigned>(point); }
constexpr unsigned point_of(Stage stage) {
  return sync_points::point_count + static_cast<unsigned>(stage);
}

// The first, second, ... time that a process passes a point.
struct Moment {
  unsigned point = 0;
  unsigned time = 0;  // 0: never
};

struct EventLog {
  Moment stop;
  Moment die;
  unsigned die_later = 0;          // this many points after the stop; 0: never
  std::atomic<pid_t> worker{0};    // of a parent under test
  std::atomic<unsigned> steps{0};  // points passed so far
  std::atomic<unsigned> last{0};   // the point of the last of them
  std::array<std::atomic<unsigned>, point_count> times{};  // at each point
  std::atomic<unsigned> wrong{0};  // arguments that were not those of their element
  std::atomic<unsigned> asked{0};  // elements that found themselves asked to stop
  std::array<std::atomic<unsigned>, max_elements> begun{};  // how often the element's code began
  std::array<std::atomic<unsigned>, max_elements> ended{};  // its outcome was handed to the channel

  // Shared with the children of this process.
  static EventLog* make() {
    void* const memory = ::mmap(nullptr, sizeof(EventLog), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? throw std::bad_alloc() : new (memory) EventLog;
  }
};

class Logger {
 public:
  // From now on this process may stop or die. It notifies `about_to_stop` before it stops.
  static void arm(EventLog& event_log, os::Event const& about_to_stop) noexcept {
    event_log_ = &event_log;
    about_to_stop_ = &about_to_stop;
    sync_points::observer = [](SyncPoint point) { at(point_of(point)); };
  }
  static void disarm() noexcept {
    sync_points::observer = nullptr;
    event_log_ = nullptr;
  }

  static void at(Stage stage) noexcept { at(point_of(stage)); }

 private:
  static void at(unsigned point) noexcept {
    if (event_log_ == nullptr) return;
    event_log_->last = point;
    unsigned const now = ++event_log_->steps;
    unsigned const time = ++event_log_->times[point];
    auto const is = [&](Moment const& moment) {
      return moment.point == point && moment.time == time;
    };
    if (is(event_log_->stop)) {
      stopped_ = now;
      about_to_stop_->notify();
      ::raise(SIGSTOP);
    }
    bool const later =
        event_log_->die_later != 0 && stopped_ != 0 && now == stopped_ + event_log_->die_later;
    if (later || is(event_log_->die)) ::kill(::getpid(), SIGKILL);
  }

  static inline EventLog* event_log_ = nullptr;
  static inline os::Event const* about_to_stop_ = nullptr;
  static inline unsigned stopped_ = 0;  // the number of points passed before the stop
};

// The number of events at each point in a test.
class Tally {
 public:
  void add(unsigned point) { ++counts_.at(point); }
  unsigned at(unsigned point) const { return counts_.at(point); }
  unsigned sum() const {
    unsigned all = 0;
    for (unsigned const count : counts_) all += count;
    return all;
  }

 private:
  std::array<unsigned, point_count> counts_{};
};

inline char const* name_of(unsigned point) {
  static constexpr std::array<char const*, point_count> names = {"loaded",
                                                                 "received",
                                                                 "claimed",
                                                                 "begun",
                                                                 "withdrawn",
                                                                 "written",
                                                                 "marked",
                                                                 "header_written",
                                                                 "published",
                                                                 "single_sent",
                                                                 "resource_sent",
                                                                 "single_written",
                                                                 "single_marked",
                                                                 "frame_released",
                                                                 "rang",
                                                                 "retiring",
                                                                 "listening",
                                                                 "parked",
                                                                 "parked_for_room",
                                                                 "parked_to_retire",
                                                                 "falling_asleep",
                                                                 "woken",
                                                                 "unparked",
                                                                 "put",
                                                                 "raised",
                                                                 "told",
                                                                 "doorbell_moved",
                                                                 "doorbell_rung",
                                                                 "lowered",
                                                                 "cut",
                                                                 "taken",
                                                                 "parent_parked",
                                                                 "parent_unparked",
                                                                 "asked",
                                                                 "stop_doorbell_moved",
                                                                 "stop_doorbell_rung",
                                                                 "spin_set",
                                                                 "leave_said",
                                                                 "stage starting",
                                                                 "stage idle",
                                                                 "stage loading",
                                                                 "stage running",
                                                                 "stage saving"};
  static_assert(names.back() != nullptr);
  return names.at(point);
}

}  // namespace procpool::steps
