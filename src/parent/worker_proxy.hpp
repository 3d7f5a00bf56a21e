// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// WorkerProxy: one worker as the dispatcher sees it, from the request for a process to its exit.
// The proxy stays when the worker ends, and is the place of the next one. It starts, greets and
// initializes a worker, asks it to leave, and settles its exit. WorkerProcess carries out what
// concerns the process. Elements go through Core.
//
// For the dispatcher's thread alone. Nothing here blocks, except that an element's outcome or error
// is kept until there is memory for it. Calls that throw for lack of memory may be repeated: tick()
// finds what they left.

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include "os/process.hpp"
#include "os/spawn.hpp"
#include "parent/core.hpp"
#include "parent/dedicated_worker.hpp"
#include "parent/exit_report.hpp"
#include "parent/next_look.hpp"
#include "parent/worker_launcher.hpp"
#include "parent/worker_process.hpp"
#include "parent/worker_services.hpp"
#include "parent/worker_state.hpp"
#include "protocol/handshake.hpp"

namespace procpool::inline v0_1::parent {

class WorkerProxy {
 public:
  using TimePoint = detail::TimePoint;

  WorkerProxy(std::size_t index, WorkerServices& services);

  bool vacant() const noexcept { return state_.is<WorkerState::Vacant>(); }
  // A worker that is started again and again waits ahead of its next start.
  bool may_start(TimePoint now) const noexcept { return vacant() && now >= restarts_.next_start(); }
  bool fork_pending() const noexcept;
  bool fork_cancelled() const noexcept { return state_.is<WorkerState::ForkCancelled>(); }
  // 0: no fork server has to do with this worker.
  std::uint64_t request_id() const noexcept;

  // Starts a worker here; the place is vacant. A failure is reported like that of any start.
  void start();

  // ---- answers of the fork server
  void on_forked(os::Child child);
  // `reason`: not empty if this counts as a failed start. `error`: as in
  // WorkerServices::start_failed().
  void on_not_forked(std::string const& reason,
                     SpawnBackoff::Failure failure = SpawnBackoff::Failure::start,
                     std::exception_ptr const& error = nullptr);
  void on_reaped(os::Exit const& exit);
  void on_fork_server_lost();

  // ---- events of its descriptors
  void on_control();
  void on_output();
  void on_exit();

  // ---- its channel
  // Takes the outcomes that are there, and returns how many, or how many blocks of them.
  std::size_t look();
  // Has the worker notify the dispatcher of what it publishes from now on. `number` is that of the
  // dispatcher's sleep. False: something is there already, so call look() and try again.
  bool park(std::uint32_t number);
  // The same for a sleep that is so short that no notification is needed.
  bool begin_short_poll(std::uint32_t number);

  // Does what is due and returns the time of the next call. `wanted`: workers of the pool.
  std::optional<TimePoint> tick(TimePoint now, std::size_t wanted);

  // ---- the end of the pool
  void leave_with_pool(TimePoint now);
  void terminate();

 private:
  bool speaks() const noexcept;  // there is a channel, and a process that may use it
  Slot& slot() const noexcept { return core_.slots[index_]; }

  // ---- the start
  bool request_fork(PendingWorker& pending);
  template <class From>
  void on_started(From& from, os::Child child, PendingWorker pending, std::uint64_t request_id);
  void greet(protocol::Ready const& answer);
  bool makes_object() const noexcept { return dedicated_ && dedicated_->actor() != nullptr; }
  void initialize();
  void send_initializer(WorkerState::Initializing& state);
  Slot::Put make_object(InternalCall& call);
  void look_at_initializer();
  template <class From>
  void make_ready(From& from);
  void start_failed(SpawnBackoff::Failure failure, std::string const& reason,
                    std::exception_ptr const& error = nullptr);
  void cancel_start(LeaveReason reason);

  // ---- the service
  std::optional<LeaveReason> leave_reason(TimePoint now, std::size_t wanted, NextLook& next) const;
  void leave(TimePoint now, LeaveReason reason);
  void leave_for_element(TimePoint now);

  // ---- parts of tick()
  // The end of an actor, if the owner has begun one.
  void tick_actor(TimePoint now, NextLook& next);
  void tick_leaving(TimePoint now, NextLook& next);
  void watch_over(TimePoint now, NextLook& next);
  void tick_start(TimePoint now, NextLook& next);

  // What its tasks have logged.
  void tell_log();

  // ---- the exit
  WorkerState::Dead& die();
  // `exit`: how the process ended, if that is known.
  void follow(std::optional<os::Exit> const& exit);
  void settle(os::Exit const& exit);
  // Tells the log of a death, and the callback for events of any end. `died`: the pool had not asked for
  // the end. `text`: of the report.
  void tell_exit(ExitReport const& report, Slot::Death const& death, bool died,
                 std::string const& text);
  // The end of the process of a Process.
  void end_process(ExitReport const& report);
  std::exception_ptr actor_died(std::string const& how) const;
  // The process of an actor has died. `useful`: as in Slot::Death. `reason`: why calls fail if no
  // other process follows.
  void end_incarnation(bool useful, std::exception_ptr const& reason);
  // No other process follows.
  void end_actor(detail::OutcomeBlock outcome);

  std::size_t const index_;
  WorkerServices& services_;
  Core& core_;
  WorkerState state_;
  std::optional<WorkerProcess> process_;        // in the states from starting to dead
  std::shared_ptr<DedicatedWorker> dedicated_;  // null: the slot is shared, or vacant
  bool parked_ = false;                         // the worker notifies the dispatcher
  SpawnBackoff restarts_;                       // of an actor
};

}  // namespace procpool::inline v0_1::parent
