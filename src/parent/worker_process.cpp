// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/worker_process.hpp"

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <bit>
#include <exception>
#include <utility>

#include <procpool/detail/engine/deadline.hpp>

#include "engine/patience.hpp"
#include "os/activity.hpp"
#include "os/socket.hpp"
#include "parent/poll_keys.hpp"

namespace procpool::inline v0_1::parent {
namespace {

using namespace std::chrono_literals;

// Between two looks at a process that the poller cannot watch, or whose status cannot be asked for.
constexpr auto unwatched_interval = 5ms;
// Between two looks at output that the program's own output had no room for.
constexpr auto relay_interval = 10ms;
// A tracer keeps a dead process; that is looked for after this time, and again and again.
constexpr auto untrace_interval = 250ms;

}  // namespace

WorkerProcess::WorkerProcess(std::size_t index, WorkerServices& services, os::Child child,
                             std::uint64_t request_id, PendingWorker& pending)
    : services_(services),
      index_(index),
      child_{child.pid, std::move(child.pidfd), request_id},
      control_(pending.control.get()),
      output_(pending.output ? pending.output->fd() : -1),
      lines_(std::move(pending.lines)),
      vigil_(services.core.options.shutdown.stop_grace) {
  report_.worker = index;
  report_.pid = child_.pid;
  pending.workers_control.reset();
  if (pending.output) pending.output->forget_workers_end();
  if (lines_) lines_->forget_workers_ends();
  // A part of this process counts as the spawned one's, and the system's sums lag behind a bit.
  if (request_id == 0) inherited_peak_ = os::peak_resident_bytes() / 16 * 17 + (1u << 20);
}

void WorkerProcess::connect(PendingWorker& pending) noexcept {
  os::Poller& poller = services_.poller;
  try {
    poller.add(child_.pidfd.get(), key(what_exit, index_), EPOLLIN);
    watched_ = true;
    poller.add(control_, key(what_control, index_), EPOLLIN);
    poller.add(pending.event.fd(), key(what_event, index_), EPOLLIN | EPOLLET);
    // Before its first word, so that no task has run yet.
    if (pending.cgroup) pending.cgroup.add(child_.pid);
    if (output_ >= 0) poller.add(output_, key(what_output, index_), EPOLLIN);
    if (lines_) lines_->watch(poller, key(what_output, index_));
    if (!pending.hello_sent) services_.launcher.send_hello(pending, index_);
  } catch (std::exception const& error) {
    kill(error.what());
  }
  event_ = std::move(pending.event);
  cgroup_ = std::move(pending.cgroup);
}

std::string WorkerProcess::log_name() const {
  return "pool \"" + services_.core.name + "\": " + worker_name(index_, child_.pid);
}

// ---- its control socket, and its output

WorkerProcess::FirstWord WorkerProcess::receive_first_word() {
  FirstWord word;
  try {
    os::Packet packet;
    word.received = true;
    word.received = detail::patiently([&] {
      return os::receive_packet(control_, packet, false, protocol::longest_message,
                                os::Takes::memory_files) == os::ReceiveResult::received;
    });
    if (word.received) {
      word.answer = detail::patiently([&] { return protocol::decode_answer(packet.bytes); });
    }
  } catch (std::exception const&) {  // an alien packet
  }
  return word;
}

std::string WorkerProcess::refusal() {
  auto const word = receive_first_word();
  auto const* const refused = word.answer ? std::get_if<protocol::Refusal>(&*word.answer) : nullptr;
  if (refused == nullptr) return {};
  return detail::patiently([&] { return refused->reason; });
}

void WorkerProcess::await_hang_up() {
  // Descriptors are received when a frame names them.
  services_.poller.remove(control_);
  services_.poller.add(control_, key(what_control, index_), 0);
}

void WorkerProcess::ignore_control() noexcept { services_.poller.remove(control_); }

void WorkerProcess::on_hang_up() noexcept {
  hung_up_ = std::chrono::steady_clock::now();
  ignore_control();
}

void WorkerProcess::on_output_closed() noexcept {
  services_.poller.remove(output_);
  output_ = -1;
}

std::optional<WorkerProcess::TimePoint> WorkerProcess::relay_again(TimePoint now) {
  if (lines_ && lines_->paused()) lines_->read(services_.lines);
  return lines_ && lines_->paused() ? std::optional(now + relay_interval) : std::nullopt;
}

void WorkerProcess::relay_last_lines() {
  if (!lines_) return;
  detail::if_possible([&] { lines_->finish(services_.lines); });
  detail::if_possible([&] { services_.lines.flush(std::chrono::steady_clock::now()); });
}

// ---- the request for its end

void WorkerProcess::limit(TimePoint deadline) noexcept {
  if (!killed()) stage_ = Limited{deadline};
}

void WorkerProcess::terminate(TimePoint deadline) noexcept {
  if (killed()) return;
  stage_ = Limited{deadline, true};
  os::signal_group(child_.pidfd.get(), child_.pid, SIGTERM);
}

bool WorkerProcess::terminated() const noexcept {
  auto const* const limited = std::get_if<Limited>(&stage_);
  return limited != nullptr && limited->terminated;
}

void WorkerProcess::escalate(TimePoint now, NextLook& next) noexcept {
  auto const* const limited = std::get_if<Limited>(&stage_);
  if (limited == nullptr) return;
  if (now < limited->deadline) return next.at(limited->deadline);
  if (limited->terminated) {
    report_.forced = report_.leave_reason != LeaveReason::for_element;
    kill();
    return next.at(now);
  }
  TimePoint const deadline = detail::later(now, services_.core.options.shutdown.stop_grace);
  terminate(deadline);
  next.at(deadline);
}

void WorkerProcess::kill(std::string_view cause) noexcept {
  if (killed()) return;
  if (!ended()) {
    auto const now = std::chrono::steady_clock::now();
    bool const reached = os::signal_group(child_.pidfd.get(), child_.pid, SIGKILL);
    stage_ = Killed{reached, now + kill_patience, now + untrace_interval};
  }
  report_.killed = true;
  if (cause.empty()) return;
  detail::patiently([&] { report_.cause = cause; });
}

// ---- the watch

class WorkerProcess::Probe final : public Vigil::Process {
 public:
  Probe(ChildProcess const& child, pid_t fork_server)
      : child_(child), parent_(child.request_id == 0 ? ::getpid() : fork_server) {}

  os::Activity activity() const override { return os::activity_of(child_.pidfd.get(), child_.pid); }
  std::uint64_t deadlock() const override { return os::deadlock_of(child_.pid); }
  std::uint64_t main_futex() const override { return os::main_futex_of(child_.pid); }
  bool traced_by_parent(pid_t tracer) const override {
    return parent_ != 0 && os::is_thread_of(tracer, parent_);
  }

 private:
  ChildProcess const& child_;
  pid_t const parent_;  // 0: not known
};

bool WorkerProcess::watch_over(TimePoint now, Vigil::Duty const& duty) {
  auto const decision = vigil_.look(now, duty, Probe(child_, services_.fork_server.pid()));
  auto const log = [&] { services_.core.log(log_name() + " " + decision.text); };
  switch (decision.action) {
    case Vigil::Decision::Action::none: break;
    case Vigil::Decision::Action::nudge: return true;
    case Vigil::Decision::Action::resume:
      os::signal_group(child_.pidfd.get(), child_.pid, SIGCONT);
      if (std::has_single_bit(++services_.resumed)) log();
      break;
    case Vigil::Decision::Action::report: log(); break;
    case Vigil::Decision::Action::kill: kill(decision.text); break;
  }
  return false;
}

// ---- the exit

bool WorkerProcess::ended() const noexcept {
  return std::holds_alternative<StatusWanted>(stage_) || status_asked();
}

std::optional<os::Exit> WorkerProcess::find_exit() {
  if (ask_for_status()) return std::nullopt;
  return reap();
}

os::Exit WorkerProcess::reap() noexcept { return os::reap(child_.pidfd.get(), child_.pid); }

// A forked worker is the fork server's child, and its pid is its own until the fork server reaps
// it.
bool WorkerProcess::ask_for_status() {
  auto const* const wanted = std::get_if<StatusWanted>(&stage_);
  auto since = wanted != nullptr ? std::optional(wanted->since) : std::nullopt;
  auto const order = services_.fork_server.reap(child_.request_id, since);
  if (order == ForkServerClient::Order::nobody) return false;
  // The poller would report the exit again and again until it is settled.
  services_.poller.remove(child_.pidfd.get());
  watched_ = false;
  if (order == ForkServerClient::Order::given) {
    stage_ = StatusAsked{};
  } else {
    stage_ = StatusWanted{*since};
  }
  return true;
}

std::optional<WorkerProcess::TimePoint> WorkerProcess::unwatched_look(TimePoint now) const {
  if (watched_ || status_asked()) return std::nullopt;
  return now + unwatched_interval;
}

bool WorkerProcess::overlooked() const {
  return !watched_ && !status_asked() && (ended() || os::exited(child_.pidfd.get()));
}

std::optional<os::Exit> WorkerProcess::look_at_killed(TimePoint now, NextLook& next) {
  Killed& killed = std::get<Killed>(stage_);
  if (now >= killed.abandon_at) {
    if (auto const exit = abandon(killed)) return exit;
  }
  next.at(killed.abandon_at);
  // A thread of the worker may have this program, or the fork server, trace it. The process is not
  // gone until its tracer has waited for that thread.
  if (now >= killed.untrace_at) {
    killed.untrace_at = now + untrace_interval;
    if (child_.request_id == 0) {
      os::let_go_traced(child_.pid);
    } else if (os::is_held_by_tracer(child_.pid) && ask_for_status()) {
      return std::nullopt;  // the fork server waits for such threads when it reaps
    }
  }
  next.at(killed.untrace_at);
  return std::nullopt;
}

// The worker may have executed a program with another user's rights, or the kernel holds it.
// Nothing of it can be waited for. What it had begun ends here, as at any exit.
std::optional<os::Exit> WorkerProcess::abandon(Killed& killed) {
  if (os::exited(child_.pidfd.get())) {  // at this moment; that is handled next
    killed.abandon_at += kill_patience;
    return std::nullopt;
  }
  services_.poller.remove(child_.pidfd.get());
  services_.strays.abandon({child_.pid, std::move(child_.pidfd), child_.request_id},
                           killed.reached);
  detail::if_possible([&] {
    services_.core.log(log_name() + " does not end on SIGKILL, and is left behind: " +
                       (killed.reached
                            ? "the kernel does not let it go"
                            : "it may not be signalled (it has become another user's?)"));
  });
  return os::Exit{os::Exit::Kind::none};
}

bool WorkerProcess::depart() {
  auto const* const limited = std::get_if<Limited>(&stage_);
  // At the end of the pool nobody waits for the place.
  // The last lines of a process come with its exit.
  bool const may_depart = limited != nullptr && !limited->terminated && watched_ && !lines_ &&
                          report_.leave_reason != LeaveReason::with_pool &&
                          !services_.strays.full(services_.core.wanted_workers());
  report_.departed = may_depart && services_.strays.adopt(index_, child_, cgroup_, control_,
                                                          output_, limited->deadline);
  return report_.departed;
}

void WorkerProcess::unwatch() noexcept {
  os::Poller& poller = services_.poller;
  if (child_.pidfd) poller.remove(child_.pidfd.get());
  poller.remove(control_);
  poller.remove(event_.fd());
  if (output_ >= 0) poller.remove(output_);
}

// A spawned process has inherited the peak of this program, from before it executed itself.
os::Exit WorkerProcess::own_part(os::Exit exit) const noexcept {
  if (exit.peak <= inherited_peak_) exit.peak = 0;
  return exit;
}

}  // namespace procpool::inline v0_1::parent
