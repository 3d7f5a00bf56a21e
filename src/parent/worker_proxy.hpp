#pragma once

// WorkerProxy: one worker as the dispatcher sees it, from the request for a process to its exit,
// and the place in the pool that the next worker takes over. It starts the process, greets it,
// initializes it, asks it to leave or kills it, and settles its exit. Elements go past it, through
// Core.
//
// For the dispatcher's thread alone. Nothing here blocks, except that an element's outcome or error
// is kept until there is memory for it. Calls that throw for lack of memory may be repeated: tick()
// finds what they left.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "os/cgroup.hpp"
#include "os/event.hpp"
#include "os/poller.hpp"
#include "os/process.hpp"
#include "os/spawn.hpp"
#include "parent/cgroup_sweep.hpp"
#include "parent/chunk.hpp"
#include "parent/core.hpp"
#include "parent/exit_report.hpp"
#include "parent/fork_server_client.hpp"
#include "parent/next_look.hpp"
#include "parent/spawn_backoff.hpp"
#include "parent/strays.hpp"
#include "parent/vigil.hpp"
#include "parent/worker_launcher.hpp"
#include "parent/worker_state.hpp"
#include "protocol/handshake.hpp"

namespace procpool::inline v0::parent {

// The parts of a supervisor that all its workers share.
struct WorkerServices {
  Core& core;
  os::Poller& poller;
  WorkerLauncher& launcher;
  ForkServerClient& fork_server;
  Strays& strays;
  CgroupSweep& cgroups;
  SpawnBackoff& backoff;
  unsigned resumed = 0;  // workers that somebody had stopped
};

// The process of a worker, and what exists as long as it does.
struct WorkerProcess {
  using TimePoint = detail::TimePoint;

  // SIGKILL was sent, and the process has not ended yet.
  struct Kill {
    bool reached;          // SIGKILL was delivered
    TimePoint abandon_at;  // the time to wait is over then
    TimePoint untrace_at;  // the next look for tracers that keep it from being gone
  };

  ChildProcess child{};
  bool watched = false;             // by the poller
  int control = -1;                 // owned by the slot, like `output`
  int output = -1;                  // -1: not captured, or closed by the worker
  os::Event event{os::UniqueFd()};  // our notifications
  os::Cgroup cgroup{};
  std::uint64_t inherited_peak = 0;    // os::Exit::peak says nothing up to this value
  bool parked = false;                 // the worker notifies the dispatcher
  std::optional<TimePoint> hung_up{};  // since then its control socket is closed
  std::optional<Kill> kill{};
  Vigil vigil{};
  ExitReport report{};
};

class WorkerProxy {
 public:
  using TimePoint = detail::TimePoint;

  WorkerProxy(std::size_t index, WorkerServices& services);

  bool vacant() const noexcept { return state_.is<WorkerState::Vacant>(); }
  bool fork_pending() const noexcept;
  bool fork_cancelled() const noexcept { return state_.is<WorkerState::ForkCancelled>(); }
  // 0: no fork server has to do with this worker.
  std::uint64_t request_id() const noexcept;

  // Starts a worker here; the place is vacant. A failure is reported like that of any start.
  void start();

  // ---- answers of the fork server
  void on_forked(os::Child child);
  // `failure`: not empty if this counts as a failed start.
  void on_not_forked(std::string const& failure, bool killed_externally = false);
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
  class Probe;

  bool speaks() const noexcept;  // there is a channel, and a process that may use it
  Slot& slot() const noexcept { return core_.slots[index_]; }
  std::string log_name() const;

  // ---- the start
  bool request_fork(PendingWorker& pending);
  template <class From>
  void on_started(From& from, os::Child child, PendingWorker pending, std::uint64_t request_id);
  void start_failed(SpawnBackoff::Failure failure, std::string const& reason,
                    std::exception_ptr const& error = nullptr) noexcept;
  void greet(protocol::Ready const& answer);
  void initialize();
  void look_at_initializer();
  template <class From>
  void make_ready(From& from);
  void cancel_start(LeaveReason reason);

  // ---- the service
  // Throws nothing. `cause`: of the exit, unless an element or the pool asked for the kill.
  void kill(std::string_view cause = {}) noexcept;
  void send_kill() noexcept;
  std::optional<LeaveReason> leave_reason(TimePoint now, std::size_t wanted, NextLook& next) const;
  void leave(TimePoint now, LeaveReason reason);
  void leave_for_element(TimePoint now);
  void send_exit_handler(WorkerState::Leaving& leaving);
  void report_exit_handler(WorkerState::Leaving const& leaving) const;
  void watch_over(TimePoint now, NextLook& next);

  // ---- parts of tick(); true: the place is vacant now
  bool tick_killed(TimePoint now, NextLook& next);
  bool tick_leaving(TimePoint now, NextLook& next);
  void tick_deadline(TimePoint now, NextLook& next);

  // ---- the exit
  WorkerState::Dead& die();
  // Takes the exit status from the fork server, or from the kernel.
  void find_status();
  bool ask_for_status();
  // The worker does not end on SIGKILL: its place is free for another.
  void abandon();
  // The worker has left, and only the exit of its process is missing. True: it has become a stray.
  bool part_with_leaver(WorkerState::Leaving const& leaving);
  void settle(os::Exit exit, bool departed = false);
  std::string refusal() const;

  std::size_t const index_;
  WorkerServices& services_;
  Core& core_;
  os::Poller& poller_;
  WorkerState state_;
  std::optional<WorkerProcess> process_;  // in the states from starting to dead
};

}  // namespace procpool::inline v0::parent
