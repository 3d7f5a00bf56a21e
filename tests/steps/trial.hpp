// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A trial: a slot, its worker in a process of its own, and the elements of a scenario. The worker may be
// stopped at one point, where the parent acts, and die at another. The trial follows each element
// through the slot, and words each violation as a sentence.
//
// The parent looks only when it is notified or the worker dies, and its wait has a long limit: a lost
// wake-up is found.

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "parent/slot.hpp"
#include "scenario.hpp"

namespace procpool::steps {

class Trial {
 public:
  struct Plan {
    Scenario const& scenario;
    Moment die{};
    Moment stop{};
    Act act = Act::nothing;
    unsigned die_later = 0;  // this many points after the stop
  };

  explicit Trial(Plan const& plan);
  ~Trial();
  Trial(Trial const&) = delete;
  Trial& operator=(Trial const&) = delete;

  // Returns once the worker is gone.
  void run();

  // The violations. Empty: none.
  std::string kill_result() const;

  bool died() const { return died_; }
  bool stopped() const { return stopped_at_.has_value(); }
  unsigned stopped_at() const { return *stopped_at_; }
  unsigned last_point() const { return event_log_->last; }
  unsigned stage() const { return stage_; }
  unsigned times(unsigned point) const { return event_log_->times.at(point); }

 private:
  using Chunk = parent::Chunk;
  using Slot = parent::Slot;

  enum class State : std::uint8_t { waiting, given, back, value, thrown, attributed };

  void make_work();
  void start();
  void put_what_can_be();
  void wait_for_input();
  void wait_late(std::chrono::steady_clock::time_point limit);
  bool look_at_worker();  // false: it is dead
  void act();
  void watch_deadline();
  void cancel();
  void revoke(std::uint64_t elements, bool again);
  void collect();
  void reap();
  void accept(Slot::Report&& report, bool alive);
  void answered(detail::OutcomeBlock const& block);
  void returned(Chunk&& chunk, bool again);
  void move(std::uint64_t element, State from, State to, char const* what);
  bool all_ended() const;
  void judge();
  void wrong(std::string const& what) { wrong_ += (wrong_.empty() ? "" : "; ") + what; }

  Plan const plan_;
  Scenario const& scenario_;
  EventLog* const event_log_;
  os::Event event_;
  os::Event about_to_stop_;
  pid_t pid_ = -1;
  os::UniqueFd pidfd_;
  // The slot's clock minus the machine's.
  static inline std::chrono::milliseconds ahead{0};
  Slot slot_{0, std::make_shared<parent::BufferPool>(),
             [] { return std::chrono::steady_clock::now() + ahead; }};
  std::optional<os::RingMapping> outbox_;  // to see that the worker sleeps

  std::shared_ptr<detail::Task> task_;
  std::shared_ptr<detail::Task> internal_;
  std::deque<Chunk> waiting_;
  std::optional<Chunk> more_;   // put while the worker is stopped
  std::uint64_t elements_ = 0;  // the internal chunk is behind the last
  std::vector<State> states_;
  unsigned attributions_ = 0;
  std::uint32_t sleeps_ = 0;
  bool leaving_ = false;
  bool put_again_ = false;  // a chunk found no room, and no outcome will make some
  bool let_go_ = false;     // it retires, and has no elements any more
  bool again_ = false;      // revoked elements are put again
  bool marked_for_kill_ = false;
  bool overdue_ = false;  // for its deadline, by SIGTERM
  std::uint64_t victim_ = 0;
  bool asked_ = false;
  bool gone_ = false;
  bool died_ = false;
  std::optional<unsigned> stopped_at_;
  unsigned steps_then_ = 0;
  unsigned stage_ = 0;
  int status_ = 0;
  std::string wrong_;
};

}  // namespace procpool::steps
