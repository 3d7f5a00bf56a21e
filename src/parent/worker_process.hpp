// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// WorkerProcess: the process of one worker, from its existence to the knowledge of how it ended.
// The class watches its descriptors, sends it signals, and reaps it, by itself or through the fork
// server. The elements and the state of the worker are not its matter.
//
//   runs --> limited --(SIGTERM, then SIGKILL)--> killed --> abandoned, or
//     +----------+------------------------------------+----> ended: status wanted -> status asked
//
// For the dispatcher's thread alone. Nothing here blocks.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "os/cgroup.hpp"
#include "os/event.hpp"
#include "os/process.hpp"
#include "os/spawn.hpp"
#include "parent/exit_report.hpp"
#include "parent/next_look.hpp"
#include "parent/output_lines.hpp"
#include "parent/strays.hpp"
#include "parent/vigil.hpp"
#include "parent/worker_launcher.hpp"
#include "parent/worker_services.hpp"
#include "protocol/handshake.hpp"

namespace procpool::inline v0_1::parent {

class WorkerProcess {
 public:
  using TimePoint = detail::TimePoint;

  // `request_id`: of its fork; 0: it was spawned.
  WorkerProcess(std::size_t index, WorkerServices& services, os::Child child,
                std::uint64_t request_id, PendingWorker& pending);

  // Watches the process and sends it the hello, unless that was sent. A failure kills it.
  void connect(PendingWorker& pending) noexcept;

  pid_t pid() const noexcept { return child_.pid; }
  int pidfd() const noexcept { return child_.pidfd.get(); }
  std::uint64_t request_id() const noexcept { return child_.request_id; }
  // "pool "name": worker 3 (pid 4711)"
  std::string log_name() const;
  // The part of the report that is known before the exit, completed by the owner of this object.
  ExitReport& report() noexcept { return report_; }

  // ---- its control socket, and its output
  struct FirstWord {
    bool received = false;  // if not, the socket is empty or closed
    std::optional<std::variant<protocol::Ready, protocol::Refusal>> answer{};
  };
  FirstWord receive_first_word();
  // The reason of a process that did not start, if it sent one. Waits for memory.
  std::string refusal();
  // From now on only the end of the socket is of interest. Throws std::system_error.
  void await_hang_up();
  void ignore_control() noexcept;
  // The time since which the control socket is closed.
  std::optional<TimePoint> hung_up() const noexcept { return hung_up_; }
  void on_hang_up() noexcept;
  bool has_output() const noexcept { return output_ >= 0; }
  void on_output_closed() noexcept;
  // With Output::lines. Moves the lines that are there to the sink.
  bool relays_lines() const noexcept { return lines_ != nullptr; }
  void relay_lines() { lines_->read(services_.lines); }
  // The time to look again, if the sink took no more.
  std::optional<TimePoint> relay_again(TimePoint now);
  // The process is gone.
  void relay_last_lines();

  // ---- the request for its end
  // The process has until then to end. Does nothing if it was killed.
  void limit(TimePoint deadline) noexcept;
  // The same, and sends SIGTERM.
  void terminate(TimePoint deadline) noexcept;
  bool terminated() const noexcept;
  // Sends the signals of a limited process that are due.
  void escalate(TimePoint now, NextLook& next) noexcept;

  // Kills the process, once. `cause`: of the exit, unless an element or the pool asked for it.
  void kill(std::string_view cause = {}) noexcept;
  bool killed() const noexcept { return report_.killed; }

  // ---- the watch over a process that does not get on
  TimePoint next_watch() const noexcept { return vigil_.next(); }
  // True: the worker is to be nudged.
  bool watch_over(TimePoint now, Vigil::Duty const& duty);

  // ---- the exit. These return how the process ended, if that is known now.
  // Call when the process has ended. Takes the status from the fork server, or from the kernel.
  std::optional<os::Exit> find_exit();
  // Of a killed process: looks for what keeps it from being gone, and abandons it in the end.
  std::optional<os::Exit> look_at_killed(TimePoint now, NextLook& next);
  // The process has ended, and the fork server has to say how.
  bool ended() const noexcept;
  bool status_asked() const noexcept { return std::holds_alternative<StatusAsked>(stage_); }
  // The fork server is lost. The worker has another parent now: only new kernels remember.
  os::Exit reap() noexcept;
  // The time to look again, if the poller does not report the next change.
  std::optional<TimePoint> unwatched_look(TimePoint now) const;
  // The poller has not reported the end, or the status has to be asked for again.
  bool overlooked() const;

  // Makes a limited process a stray, before its deadline. False: it has to stay.
  bool depart();
  // The poller names this process no more.
  void unwatch() noexcept;
  // To be called once, at the end.
  os::Cgroup take_cgroup() noexcept { return std::move(cgroup_); }
  // The same without memory that the process has inherited.
  os::Exit own_part(os::Exit exit) const noexcept;

 private:
  class Probe;

  struct Runs {};
  struct Limited {
    TimePoint deadline;       // for the next signal
    bool terminated = false;  // SIGTERM was sent
  };
  // SIGKILL was sent, and the process has not ended yet.
  struct Killed {
    bool reached;          // SIGKILL was delivered
    TimePoint abandon_at;  // the time to wait is over then
    TimePoint untrace_at;  // the next look for tracers that keep it from being gone
  };
  // The process has ended. The fork server cannot be asked since then.
  struct StatusWanted {
    TimePoint since;
  };
  // The fork server has been asked how the process ended.
  struct StatusAsked {};

  bool ask_for_status();
  std::optional<os::Exit> abandon(Killed& killed);

  WorkerServices& services_;
  std::size_t index_;
  ChildProcess child_;
  std::variant<Runs, Limited, Killed, StatusWanted, StatusAsked> stage_;
  bool watched_ = false;                // by the poller
  int control_;                         // owned by the slot, like `output`
  int output_;                          // -1: not captured, or closed by the worker
  std::unique_ptr<OutputLines> lines_;  // null unless output goes by lines
  os::Event event_{os::UniqueFd()};     // our notifications
  os::Cgroup cgroup_{};
  std::uint64_t inherited_peak_ = 0;  // os::Exit::peak says nothing up to this value
  std::optional<TimePoint> hung_up_;
  Vigil vigil_;
  ExitReport report_;
};

}  // namespace procpool::inline v0_1::parent
