#pragma once

// What a process that may die at any step leaves behind: it is written to memory that it shares with the
// test, by the policy of steps that the channel is a template over. The test says at which step, counted
// from the process's begin, it stops (SIGSTOP) and at which it dies (SIGKILL).
//
// `Told` is for the process that was armed, on one thread; the diary is read by the test while that
// process is stopped or dead.

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <new>

#include <procpool/detail/call/function.hpp>
#include <procpool/detail/engine/sync_points.hpp>

#include "os/event.hpp"

namespace procpool::steps {

using detail::Stage;
using detail::SyncPoint;

inline constexpr unsigned max_elements = 256;

// Where a process can be: behind a step, or inside an element.
inline constexpr unsigned stage_count = static_cast<unsigned>(Stage::saving) + 1;
inline constexpr unsigned point_count = detail::step_count + stage_count;

constexpr unsigned point_of(SyncPoint step) { return static_cast<unsigned>(step); }
constexpr unsigned point_of(Stage stage) {
  return detail::step_count + static_cast<unsigned>(stage);
}

// The first, second, ... time that a process comes by a point.
struct Moment {
  unsigned point = 0;
  unsigned time = 0;  // 0: never
};

struct EventLog {
  Moment stop;
  Moment die;
  unsigned die_later = 0;          // so many steps behind the stop; 0: never
  std::atomic<pid_t> worker{0};    // of a parent that is tried
  std::atomic<unsigned> steps{0};  // so far
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

// The policy.
class Told {
 public:
  // From here on this process is the one that may stop or die; it rings when it is about to stop.
  static void arm(EventLog& event_log, os::Event const& about_to_stop) noexcept {
    event_log_ = &event_log;
    about_to_stop_ = &about_to_stop;
  }
  static void disarm() noexcept { event_log_ = nullptr; }

  static void at(SyncPoint step) noexcept { at(point_of(step)); }
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
      about_to_stop_->ring();
      ::raise(SIGSTOP);
    }
    bool const later =
        event_log_->die_later != 0 && stopped_ != 0 && now == stopped_ + event_log_->die_later;
    if (later || is(event_log_->die)) ::kill(::getpid(), SIGKILL);
  }

  static inline EventLog* event_log_ = nullptr;
  static inline os::Event const* about_to_stop_ = nullptr;
  static inline unsigned stopped_ = 0;  // at this step
};

// How often something happened at each point, of all that a test did.
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
                                                                 "single_written",
                                                                 "single_marked",
                                                                 "given_back",
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
                                                                 "bell_moved",
                                                                 "bell_rung",
                                                                 "lowered",
                                                                 "cut",
                                                                 "taken",
                                                                 "parent_parked",
                                                                 "parent_unparked",
                                                                 "asked",
                                                                 "asked_bell_moved",
                                                                 "asked_bell_rung",
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
