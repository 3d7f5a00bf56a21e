#include "parent/worker_proxy.hpp"

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>
#include <variant>
#include <vector>

#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/reason.hpp>
#include <procpool/errors.hpp>

#include "engine/describe.hpp"
#include "engine/patience.hpp"
#include "os/activity.hpp"
#include "os/socket.hpp"
#include "parent/poll_keys.hpp"

namespace procpool::inline v0::parent {
namespace {

using namespace std::chrono_literals;

using When = ExitReport::When;
using Dead = WorkerState::Dead;
using ForkCancelled = WorkerState::ForkCancelled;
using ForkRequested = WorkerState::ForkRequested;
using Initializing = WorkerState::Initializing;
using Leaving = WorkerState::Leaving;
using Ready = WorkerState::Ready;
using Starting = WorkerState::Starting;
using Vacant = WorkerState::Vacant;

// Between two looks at a process that the poller cannot watch, or whose status cannot be asked for.
constexpr auto unwatched_interval = 5ms;
constexpr auto retry_interval = 2ms;
// A tracer keeps a dead process; that is looked for after this time, and again and again.
constexpr auto untrace_interval = 250ms;
// A worker that dies closes its socket a moment before its pidfd is readable.
constexpr auto hang_up_grace = 100ms;

// An element of a task of the pool's own. It goes to one worker, past the scheduler.
Chunk internal_element(BoundCall const& call) {
  detail::InputBuffer input;
  input.count = 1;
  std::uint64_t const length_of_arguments = 0;
  input.bytes.resize(sizeof length_of_arguments);
  std::memcpy(input.bytes.data(), &length_of_arguments, sizeof length_of_arguments);
  detail::TaskOptions options;
  options.internal = true;
  auto task = std::make_shared<detail::Task>(call.function(), std::move(options));
  task->announce(1, true);
  return {std::move(task), std::make_shared<SharedInput>(std::move(input), 0), 0, 1};
}

// The error of such a task that has ended. Null: it succeeded.
std::exception_ptr error_of(detail::Task& task) {
  for (detail::Block const& block : task.take()) {
    if (block.kind != detail::Block::Kind::values) return detail::reason_of(block, task.id());
  }
  return nullptr;
}

When when_of(Dead const& dead) {
  return std::visit(
      []<class State>(State const&) {
        return std::is_same_v<State, Starting>       ? When::starting
               : std::is_same_v<State, Initializing> ? When::initializing
               : std::is_same_v<State, Ready>        ? When::ready
                                                     : When::leaving;
      },
      dead.last);
}

}  // namespace

WorkerProxy::WorkerProxy(std::size_t index, WorkerServices& services)
    : index_(index),
      services_(services),
      core_(services.core),
      poller_(services.poller),
      state_([&core = services.core](WorkerStanding before, WorkerStanding after) {
        core.recount(before, after);
      }) {}

bool WorkerProxy::fork_pending() const noexcept {
  return state_.is<ForkRequested>() || state_.is<ForkCancelled>();
}

std::uint64_t WorkerProxy::request_id() const noexcept {
  if (auto const* const requested = state_.get<ForkRequested>()) return requested->request_id;
  if (auto const* const cancelled = state_.get<ForkCancelled>()) return cancelled->request_id;
  return process_ ? process_->child.request_id : 0;
}

bool WorkerProxy::speaks() const noexcept { return process_ && !state_.is<Starting>(); }

std::string WorkerProxy::log_name() const {
  return "pool \"" + core_.name + "\": " + worker_name(index_, process_->child.pid);
}

// ---- the start

void WorkerProxy::start() {
  PendingWorker pending;
  os::Child child;
  try {
    pending = services_.launcher.make();
    if (services_.fork_server.prepare() && request_fork(pending)) return;
    child = services_.launcher.spawn(pending, index_);
  } catch (std::exception const& error) {
    return start_failed(SpawnBackoff::Failure::start, detail::patiently([&] {
                          return "worker " + std::to_string(index_) +
                                 " could not be made: " + error.what();
                        }));
  }
  on_started(*state_.get<Vacant>(), std::move(child), std::move(pending), 0);
}

bool WorkerProxy::request_fork(PendingWorker& pending) {
  // Sent ahead, so that the new worker need not wait for it. But a worker must be in its cgroup
  // first.
  if (!pending.cgroup) services_.launcher.send_hello(pending, index_);
  std::uint64_t const request_id =
      services_.fork_server.fork(services_.launcher.title(index_), pending.fork_descriptors());
  if (request_id == 0) return false;
  state_.change(*state_.get<Vacant>(), ForkRequested{std::move(pending), request_id});
  return true;
}

void WorkerProxy::on_forked(os::Child child) {
  if (auto* const requested = state_.get<ForkRequested>()) {
    on_started(*requested, std::move(child), std::move(requested->pending), requested->request_id);
  } else if (auto* const cancelled = state_.get<ForkCancelled>()) {
    on_started(*cancelled, std::move(child), std::move(cancelled->pending), cancelled->request_id);
  }
}

template <class From>
void WorkerProxy::on_started(From& from, os::Child child, PendingWorker pending,
                             std::uint64_t request_id) {
  constexpr bool cancelled = std::is_same_v<From, ForkCancelled>;
  PoolOptions const& options = core_.options;
  pending.workers_control.reset();
  // From here on there is a process: a failure ends it, and its exit is reported.
  WorkerProcess& process = process_.emplace();
  process.child = {child.pid, std::move(child.pidfd), request_id};
  process.control = pending.control.get();
  process.vigil = Vigil(options.stop_grace);
  process.report.worker = index_;
  process.report.pid = process.child.pid;
  if (pending.output) {
    pending.output->forget_workers_end();
    process.output = pending.output->fd();
  }
  // A part of this process counts as the spawned one's, and the system's sums lag behind a bit.
  if (request_id == 0) process.inherited_peak = os::peak_resident_bytes() / 16 * 17 + (1u << 20);
  auto const deadline = detail::later(std::chrono::steady_clock::now(), options.start_timeout);
  if constexpr (cancelled) {
    process.report.leave_reason = from.reason;
    state_.change(from, Leaving{deadline});
  } else {
    state_.change(from, Starting{deadline});
  }
  core_.note_start(index_, process.child.pid);
  try {
    poller_.add(process.child.pidfd.get(), key(what_exit, index_), EPOLLIN);
    process.watched = true;
    poller_.add(process.control, key(what_control, index_), EPOLLIN);
    poller_.add(pending.event.fd(), key(what_event, index_), EPOLLIN | EPOLLET);
    // Before its first word, so that no task has run yet.
    if (pending.cgroup) pending.cgroup.add(process.child.pid);
    if (process.output >= 0) poller_.add(process.output, key(what_output, index_), EPOLLIN);
    if (!pending.hello_sent) services_.launcher.send_hello(pending, index_);
  } catch (std::exception const& error) {
    kill(error.what());
  }
  if constexpr (cancelled) kill();
  process.event = std::move(pending.event);
  process.cgroup = std::move(pending.cgroup);
  slot().open(std::move(pending.channel), std::move(pending.control), process.child.pid,
              std::move(pending.output));
}

void WorkerProxy::on_not_forked(std::string const& failure, bool killed_externally) {
  if (auto* const cancelled = state_.get<ForkCancelled>()) {
    services_.cgroups.add(std::move(cancelled->pending.cgroup));
    state_.change(*cancelled, Vacant());
  } else if (auto* const requested = state_.get<ForkRequested>()) {
    services_.cgroups.add(std::move(requested->pending.cgroup));
    state_.change(*requested, Vacant());
    if (failure.empty()) return;
    start_failed(
        killed_externally ? SpawnBackoff::Failure::external_kill : SpawnBackoff::Failure::start,
        failure);
  }
}

void WorkerProxy::start_failed(SpawnBackoff::Failure failure, std::string const& reason,
                               std::exception_ptr const& error) noexcept {
  SpawnBackoff& backoff = services_.backoff;
  bool const hopeless = backoff.start_failed(std::chrono::steady_clock::now(), failure);
  unsigned const in_a_row = backoff.failed_starts();
  std::exception_ptr broken;
  if (hopeless) {
    broken = error ? error : detail::patiently([&] {
      return std::make_exception_ptr(SetupError("pool \"" + core_.name +
                                                "\" cannot start workers; the last of " +
                                                std::to_string(in_a_row) + " attempts: " + reason));
    });
  }
  // The first of a row is told, the second, the fourth, and so on.
  if (!core_.start_failed(broken) || !std::has_single_bit(in_a_row)) return;
  detail::if_possible([&] { core_.log("pool \"" + core_.name + "\": " + reason); });
}

void WorkerProxy::on_control() {
  if (!process_ || state_.is<Dead>()) return;
  if (!state_.is<Starting>()) {
    // Mostly the worker is dying.
    process_->hung_up = std::chrono::steady_clock::now();
    return poller_.remove(process_->control);
  }
  os::Packet packet;
  std::optional<std::variant<protocol::Ready, protocol::Refusal>> answer;
  try {
    if (os::receive_packet(process_->control, packet, false, protocol::longest_message,
                           os::Takes::memory_files) != os::ReceiveResult::received) {
      return poller_.remove(process_->control);  // the pidfd will report its exit
    }
    answer = protocol::decode_answer(packet.bytes);
  } catch (std::exception const&) {  // an alien packet
  }
  if (!answer) {
    kill("its first word was none that this program says");
  } else if (auto const* const refused = std::get_if<protocol::Refusal>(&*answer)) {
    kill(refused->reason);
  } else {
    greet(std::get<protocol::Ready>(*answer));
  }
}

void WorkerProxy::greet(protocol::Ready const& answer) {
  // The modules of a forked worker are those of its fork server, which were compared when that came
  // up.
  if (process_->child.request_id == 0) {
    if (auto const difference = services_.launcher.first_difference(answer.modules)) {
      return kill(*difference);
    }
  }
  // From now on only the end of the socket is of interest. Descriptors are received when a frame
  // names them.
  poller_.remove(process_->control);
  try {
    poller_.add(process_->control, key(what_control, index_), 0);
  } catch (std::exception const& error) {
    return kill(error.what());
  }
  if (core_.options.initializer) {
    initialize();
  } else {
    make_ready(*state_.get<Starting>());
  }
}

void WorkerProxy::initialize() {
  Starting& starting = *state_.get<Starting>();
  Initializing& state = state_.change(starting, Initializing{starting.deadline});
  try {
    Chunk element = internal_element(*core_.options.initializer);
    state.call = element.task;
    if (slot().put(element) == Slot::Put::sent) return;
    kill("the initializer could not be sent to it");
  } catch (std::exception const& error) {
    kill(detail::patiently(
        [&] { return std::string("the initializer could not be sent to it: ") + error.what(); }));
  }
}

void WorkerProxy::look_at_initializer() {
  auto* const state = state_.get<Initializing>();
  if (state == nullptr || process_->kill || !state->call || !state->call->ended()) return;
  state->failure = error_of(*state->call);
  if (state->failure) {
    kill();
  } else {
    make_ready(*state);
  }
}

template <class From>
void WorkerProxy::make_ready(From& from) {
  auto const now = std::chrono::steady_clock::now();
  Ready ready;
  if (auto const age = core_.options.recycle_after) {
    // Up to a fifth earlier, and each worker at another time.
    double const part = 1 - 0.2 * even_share(index_);
    ready.retires = detail::later(now, std::chrono::duration<double>(*age) * part);
  }
  state_.change(from, ready);
  services_.backoff.worker_ready();
  services_.fork_server.worker_ready();
  core_.worker_ready(index_, now);
  core_.place();
}

// A planned end, and no failed start.
void WorkerProxy::cancel_start(LeaveReason reason) {
  if (auto* const requested = state_.get<ForkRequested>()) {
    state_.change(*requested,
                  ForkCancelled{std::move(requested->pending), requested->request_id, reason});
    return;
  }
  if (auto* const starting = state_.get<Starting>()) {
    state_.change(*starting, Leaving{starting->deadline});
  } else if (auto* const initializing = state_.get<Initializing>()) {
    state_.change(*initializing, Leaving{initializing->deadline});
  } else {
    return;
  }
  process_->report.leave_reason = reason;
  kill();
}

// ---- the channel

std::size_t WorkerProxy::look() {
  if (!speaks()) return 0;
  if (std::exchange(process_->parked, false)) slot().unpark();
  auto const taken = core_.collect(index_);
  if (!taken) kill();
  look_at_initializer();
  return taken.value_or(0);
}

// What was published since the last look has notified nobody, so this looks once more after the
// request.
bool WorkerProxy::park(std::uint32_t number) {
  if (!speaks() || process_->parked || process_->kill) return true;
  slot().park(number);
  process_->parked = true;
  return !slot().news();
}

bool WorkerProxy::begin_short_poll(std::uint32_t number) {
  if (!speaks()) return true;
  process_->parked = true;
  return !slot().begin_short_poll(number);
}

void WorkerProxy::on_output() {
  if (!process_ || process_->output < 0 || slot().read_output()) return;
  poller_.remove(process_->output);  // nobody can write to it any more
  process_->output = -1;
}

// ---- the service

std::optional<WorkerProxy::TimePoint> WorkerProxy::tick(TimePoint now, std::size_t wanted) {
  if (!process_) {
    if (index_ >= wanted) cancel_start(LeaveReason::resized);
    return std::nullopt;  // the fork server has a deadline
  }
  // The poller reports neither an unwatched process nor one whose status could not be asked for.
  if (!process_->watched && (state_.is<Dead>() || os::exited(process_->child.pidfd.get()))) {
    on_exit();
  }
  if (vacant()) return now;  // the end of the pool may have waited for it
  if (auto const* const dead = state_.get<Dead>()) {
    if (dead->status_asked) return std::nullopt;
    return now + unwatched_interval;
  }
  NextLook next;
  if (!process_->watched) next.at(now + unwatched_interval);

  if (index_ >= wanted) cancel_start(LeaveReason::resized);
  if (!process_->kill) {
    if (slot().marked_for_kill()) leave_for_element(now);
    if (state_.is<Ready>()) {
      if (auto const reason = leave_reason(now, wanted, next)) leave(now, *reason);
    }
  }
  if (process_->kill ? tick_killed(now, next) : tick_leaving(now, next)) return now;
  if (state_.is<Dead>()) return next.time();
  if (!process_->kill) watch_over(now, next);
  if (!process_->kill) tick_deadline(now, next);
  return next.time();
}

bool WorkerProxy::tick_killed(TimePoint now, NextLook& next) {
  WorkerProcess::Kill& kill = *process_->kill;
  if (now >= kill.abandon_at) {
    abandon();
    if (vacant()) return true;
  }
  // A thread of the worker may have this program, or the fork server, trace it. The process is not
  // gone until its tracer has waited for that thread.
  ChildProcess const& child = process_->child;
  if (now >= kill.untrace_at) {
    kill.untrace_at = now + untrace_interval;
    if (child.request_id == 0) {
      os::let_go_traced(child.pid);
    } else if (os::is_held_by_tracer(child.pid)) {
      ask_for_status();  // the fork server waits for such threads when it reaps
    }
  }
  next.at(kill.abandon_at);
  next.at(kill.untrace_at);
  return false;
}

bool WorkerProxy::tick_leaving(TimePoint now, NextLook& next) {
  auto* const leaving = state_.get<Leaving>();
  if (leaving == nullptr) return false;
  if (leaving->exit_handler && !leaving->exit_handler_sent) {
    send_exit_handler(*leaving);
    if (!leaving->exit_handler_sent) next.at(now + retry_interval);
  }
  if (!leaving->terminated) {
    // Its time begins when the element that it runs has ended.
    bool const busy = core_.held(index_) != 0;
    if (busy || leaving->busy) leaving->deadline = detail::later(now, core_.options.stop_grace);
    leaving->busy = busy;
  }
  return part_with_leaver(*leaving);
}

void WorkerProxy::tick_deadline(TimePoint now, NextLook& next) {
  auto const limit = [this] { return std::to_string(core_.options.start_timeout.count()) + " ms"; };
  if (auto* const starting = state_.get<Starting>()) {
    next.at(starting->deadline);
    if (now >= starting->deadline) kill("it did not say its first word within " + limit());
  } else if (auto* const initializing = state_.get<Initializing>()) {
    next.at(initializing->deadline);
    if (now < initializing->deadline) return;
    initializing->failure = std::make_exception_ptr(
        TaskTimeout("the initializer of pool \"" + core_.name + "\" took longer than " + limit()));
    kill();
  } else if (auto* const leaving = state_.get<Leaving>()) {
    if (now >= leaving->deadline && std::exchange(leaving->terminated, true)) {
      process_->report.forced = process_->report.leave_reason != LeaveReason::for_element;
      kill();
    } else if (now >= leaving->deadline) {
      os::signal_group(process_->child.pidfd.get(), process_->child.pid, SIGTERM);
      leaving->deadline = detail::later(now, core_.options.stop_grace);
    }
    next.at(leaving->deadline);
  }
  if (process_->kill) next.at(now);
}

std::optional<LeaveReason> WorkerProxy::leave_reason(TimePoint now, std::size_t wanted,
                                                     NextLook& next) const {
  PoolOptions const& options = core_.options;
  if (index_ >= wanted) return LeaveReason::resized;
  if (process_->hung_up) {
    // If it lives on, large messages can neither come nor go: it finishes what it has.
    auto const leaves = *process_->hung_up + hang_up_grace;
    if (now >= leaves) return LeaveReason::hung_up;
    next.at(leaves);
  }
  if (options.max_tasks_per_worker && core_.spent(index_)) return LeaveReason::recycled;
  if (slot().retiring()) return LeaveReason::recycled;
  if (options.recycle_after) {
    TimePoint const retires = state_.get<Ready>()->retires;
    if (now >= retires) return LeaveReason::recycled;
    next.at(retires);
  }
  if (options.idle_timeout) {
    if (auto const since = core_.idle_since(index_)) {
      auto const leaves = detail::later(*since, *options.idle_timeout);
      if (now >= leaves) return LeaveReason::idle;
      next.at(leaves);
    }
  }
  return std::nullopt;
}

void WorkerProxy::leave(TimePoint now, LeaveReason reason) {
  process_->report.leave_reason = reason;
  Leaving& leaving =
      state_.change(*state_.get<Ready>(), Leaving{detail::later(now, core_.options.stop_grace)});
  core_.worker_leaves(index_);
  core_.revoke(index_);
  core_.place();
  if (core_.options.exit_handler) {
    send_exit_handler(leaving);
  } else {
    slot().ask_to_leave();
  }
}

// The worker leaves by force. SIGTERM and SIGKILL end it at their times, whatever it waits for.
void WorkerProxy::leave_for_element(TimePoint now) {
  LeaveReason& reason = process_->report.leave_reason;
  if (reason == LeaveReason::for_element) return;
  auto* leaving = state_.get<Leaving>();
  if (auto* const ready = state_.get<Ready>()) leaving = &state_.change(*ready, Leaving{});
  if (leaving == nullptr) return;
  reason = LeaveReason::for_element;
  leaving->terminated = true;
  leaving->deadline = detail::later(now, core_.options.term_grace);
  os::signal_group(process_->child.pidfd.get(), process_->child.pid, SIGTERM);
}

// The exit handler is the last element that a worker gets.
void WorkerProxy::send_exit_handler(Leaving& leaving) {
  try {
    Chunk element = internal_element(*core_.options.exit_handler);
    leaving.exit_handler = element.task;
    // There is no room while a revocation is under way. It is tried again.
    if (slot().put(element) == Slot::Put::full) return;
  } catch (std::exception const& error) {
    leaving.exit_handler.reset();
    core_.log("pool \"" + core_.name + "\": the exit handler could not be sent to worker " +
              std::to_string(index_) + ": " + error.what());
  }
  leaving.exit_handler_sent = true;
  slot().ask_to_leave();
}

void WorkerProxy::report_exit_handler(Leaving const& leaving) const {
  if (!leaving.exit_handler || !leaving.exit_handler_sent) return;
  std::string const name =
      "pool \"" + core_.name + "\": the exit handler of worker " + std::to_string(index_);
  if (leaving.exit_handler->ended()) {
    if (auto const error = error_of(*leaving.exit_handler)) {
      core_.log(name + " failed: " + describe(error));
    }
  } else if (!core_.is_killing()) {
    core_.log(name + " had not ended within " + std::to_string(core_.options.stop_grace.count()) +
              " ms");
  }
}

// ---- the vigil

class WorkerProxy::Probe final : public Vigil::Process {
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

void WorkerProxy::watch_over(TimePoint now, NextLook& next) {
  if (process_->report.leave_reason == LeaveReason::for_element) return;
  Vigil& vigil = process_->vigil;
  if (now >= vigil.next()) {
    Slot::Duty const seen = slot().duty();
    auto const* const leaving = state_.get<Leaving>();
    Vigil::Duty duty;
    // A worker that starts or leaves has that to do.
    duty.due = seen.owes || seen.crashes || !state_.is<Ready>();
    duty.owes = seen.owes;
    duty.runs = seen.runs;
    duty.exits = leaving != nullptr && !leaving->busy;
    duty.crashes = seen.crashes;
    duty.progress = seen.progress;
    duty.exit_hint = seen.exit_hint;
    auto decision = vigil.look(now, duty, Probe(process_->child, services_.fork_server.pid()));
    switch (decision.action) {
      case Vigil::Decision::Action::none: break;
      case Vigil::Decision::Action::nudge: slot().nudge(); break;
      case Vigil::Decision::Action::resume:
        os::signal_group(process_->child.pidfd.get(), process_->child.pid, SIGCONT);
        if (std::has_single_bit(++services_.resumed)) core_.log(log_name() + " " + decision.text);
        break;
      case Vigil::Decision::Action::report: core_.log(log_name() + " " + decision.text); break;
      case Vigil::Decision::Action::kill:
        kill(decision.text);
        next.at(now);
        return;
    }
  }
  if (vigil.next() > now) next.at(vigil.next());
}

// ---- the end

void WorkerProxy::kill(std::string_view cause) noexcept {
  if (process_->kill) return;
  send_kill();
  process_->report.killed = true;
  if (cause.empty()) return;
  detail::patiently([&] { process_->report.cause = cause; });
}

void WorkerProxy::send_kill() noexcept {
  auto const now = std::chrono::steady_clock::now();
  bool const reached = os::signal_group(process_->child.pidfd.get(), process_->child.pid, SIGKILL);
  process_->kill = WorkerProcess::Kill{reached, now + kill_patience, now + untrace_interval};
}

void WorkerProxy::leave_with_pool(TimePoint now) {
  if (state_.is<Ready>()) {
    leave(now, LeaveReason::with_pool);
  } else {
    cancel_start(LeaveReason::with_pool);
  }
}

void WorkerProxy::terminate() {
  if (!process_) return cancel_start(LeaveReason::with_pool);
  if (state_.is<Dead>()) return;
  process_->report.forced = state_.is<Ready>() || state_.is<Leaving>();
  kill();
}

void WorkerProxy::on_exit() {
  if (process_ && !(state_.is<Dead>() && state_.get<Dead>()->status_asked)) find_status();
}

WorkerState::Dead& WorkerProxy::die() {
  if (auto* const dead = state_.get<Dead>()) return *dead;
  if (auto* const starting = state_.get<Starting>()) {
    return state_.change(*starting, Dead{std::move(*starting)});
  }
  if (auto* const initializing = state_.get<Initializing>()) {
    return state_.change(*initializing, Dead{std::move(*initializing)});
  }
  if (auto* const ready = state_.get<Ready>()) {
    core_.worker_leaves(index_);  // it gets no element any more
    return state_.change(*ready, Dead{std::move(*ready)});
  }
  Leaving& leaving = *state_.get<Leaving>();
  return state_.change(leaving, Dead{std::move(leaving)});
}

void WorkerProxy::find_status() {
  if (!ask_for_status()) settle(os::reap(process_->child.pidfd.get(), process_->child.pid));
}

// A forked worker is the fork server's child, and its pid is its own until the fork server reaps
// it.
bool WorkerProxy::ask_for_status() {
  auto since = state_.is<Dead>() ? state_.get<Dead>()->status_wanted : std::nullopt;
  auto const order = services_.fork_server.reap(process_->child.request_id, since);
  if (order == ForkServerClient::Order::nobody) return false;
  // The poller would report the exit again and again until it is settled.
  poller_.remove(process_->child.pidfd.get());
  process_->watched = false;
  Dead& dead = die();
  dead.status_wanted = since;
  dead.status_asked = order == ForkServerClient::Order::given;
  return true;
}

void WorkerProxy::on_reaped(os::Exit const& exit) {
  if (auto const* const dead = state_.get<Dead>(); dead != nullptr && dead->status_asked) {
    settle(exit);
  }
}

void WorkerProxy::on_fork_server_lost() {
  auto const* const dead = state_.get<Dead>();
  if (dead == nullptr || !dead->status_asked) return;
  // The worker has another parent now: only new kernels remember how it ended.
  settle(os::reap(process_->child.pidfd.get(), process_->child.pid));
}

// The worker may have executed a program with another user's rights, or the kernel holds it.
// Nothing of it can be waited for. What it had begun ends here, as at any exit.
void WorkerProxy::abandon() {
  if (os::exited(process_->child.pidfd.get())) {  // at this moment; that is handled next
    process_->kill->abandon_at += kill_patience;
    return;
  }
  bool const reached = process_->kill->reached;
  poller_.remove(process_->child.pidfd.get());
  std::uint64_t const request_id = process_->child.request_id;
  pid_t const pid = process_->child.pid;
  services_.strays.abandon({pid, std::move(process_->child.pidfd), request_id}, reached);
  detail::if_possible([&] {
    core_.log(log_name() + " does not end on SIGKILL, and is left behind: " +
              (reached ? "the kernel does not let it go"
                       : "it may not be signalled (it has become another user's?)"));
  });
  settle({os::Exit::Kind::none});
}

bool WorkerProxy::part_with_leaver(Leaving const& leaving) {
  WorkerProcess& process = *process_;
  // At the end of the pool nobody waits for the place.
  bool const parts = !leaving.terminated && process.watched && !leaving.busy &&
                     process.report.leave_reason != LeaveReason::with_pool &&
                     (!leaving.exit_handler || leaving.exit_handler->ended()) &&
                     slot().has_left() && !services_.strays.full(core_.wanted_workers());
  if (!parts) return false;
  if (!services_.strays.adopt(index_, process.child, process.cgroup, process.control,
                              process.output, leaving.deadline)) {
    return false;  // it keeps its place
  }
  settle({os::Exit::Kind::none}, true);
  return true;
}

// What a worker that did not start said, if it said why.
std::string WorkerProxy::refusal() const {
  try {
    os::Packet packet;
    if (os::receive_packet(process_->control, packet, false, protocol::longest_message,
                           os::Takes::memory_files) == os::ReceiveResult::received) {
      if (auto const answer = protocol::decode_answer(packet.bytes)) {
        if (auto const* const refused = std::get_if<protocol::Refusal>(&*answer)) {
          return refused->reason;
        }
      }
    }
  } catch (std::exception const&) {  // it said nothing that can be read
  }
  return {};
}

void WorkerProxy::settle(os::Exit exit, bool departed) {
  // From the first to the last of these nothing fails: the worker's elements would be nobody's.
  Dead& dead = die();
  WorkerProcess& process = *process_;
  ExitReport& report = process.report;
  report.when = when_of(dead);
  report.departed = departed;
  if (report.when == When::starting && report.cause.empty()) {
    report.cause = detail::patiently([this] { return refusal(); });
  }
  if (process.child.pidfd) poller_.remove(process.child.pidfd.get());
  poller_.remove(process.control);
  poller_.remove(process.event.fd());
  if (process.output >= 0) poller_.remove(process.output);

  Slot::Death death = slot().reap();
  // A process that is about to exit would be ended by that; its stray has a copy of the socket.
  if (!departed) os::close_socket(std::move(death.control));
  services_.cgroups.add(std::move(process.cgroup));

  // A spawned process has inherited the peak of this program, from before it executed itself.
  if (exit.peak <= process.inherited_peak) exit.peak = 0;
  report.exit = exit;
  report.stage = death.stage;
  report.exit_hint = death.exit_hint;
  report.poison = death.poison;
  report.crash = death.crash;
  detail::patiently([&] {
    report.pool = core_.name;
    report.bad = death.bad;
    report.output = last_lines(death.output);
  });
  auto const reason = [&report](Chunk const& chunk) { return report.reason(chunk); };
  std::exception_ptr error;
  if (auto const* const initializing = std::get_if<Initializing>(&dead.last)) {
    // What it threw, or else how its worker ended.
    error = initializing->failure;
    for (Chunk const& chunk : death.attributed) {
      if (!error) error = detail::patiently([&] { return reason(chunk); });
    }
    if (error) report.failure = detail::patiently([&] { return describe(error); });
  }
  std::string const text = detail::patiently([&] { return report.text(); });
  // Before its elements end: a thread that waits for one may look at the counters next.
  core_.note_exit(index_, report, text);

  auto const last = std::move(dead.last);
  WorkerProcess const ended = *std::exchange(process_, std::nullopt);
  state_.change(dead, Vacant());
  ExitReport const& told = ended.report;
  if (told.when == When::starting || told.when == When::initializing) {
    bool const killed_externally = !told.killed && may_be_killed_externally(exit);
    return start_failed(killed_externally ? SpawnBackoff::Failure::external_kill
                        : error           ? SpawnBackoff::Failure::initializer
                                          : SpawnBackoff::Failure::start,
                        text, error);
  }
  bool const useful = death.useful;
  core_.resolve_death(index_, std::move(death),
                      [&told](Chunk const& chunk) { return told.reason(chunk); });
  if (auto const* const leaving = std::get_if<Leaving>(&last)) {
    detail::if_possible([&] { report_exit_handler(*leaving); });
  }
  if (useful) {
    services_.backoff.useful_exit();
  } else if (told.when != When::leaving) {
    services_.backoff.useless_exit(std::chrono::steady_clock::now());
  }
  core_.place();
}

}  // namespace procpool::inline v0::parent
