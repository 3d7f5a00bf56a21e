// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/worker_proxy.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/engine/actor_engine.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/reason.hpp>
#include <procpool/errors.hpp>

#include "engine/describe.hpp"
#include "engine/patience.hpp"
#include "os/socket.hpp"

namespace procpool::inline v0_1::parent {
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
using detail::OutcomeBlock;

// Between two attempts to send an exit handler.
constexpr auto retry_interval = 2ms;
// A worker that dies closes its socket a moment before its pidfd is readable.
constexpr auto hang_up_grace = 100ms;

OutcomeBlock outcome_of(std::exception_ptr reason) {
  OutcomeBlock outcome;
  outcome.kind = OutcomeBlock::Kind::failed;
  outcome.failure = std::move(reason);
  return outcome;
}

// Of ActorPlan::restore. The bytes of the state go back to a worker as they came from one.
detail::InputBuffer arguments_of(detail::ActorPlan const& plan,
                                 Slot::Checkpoint const& checkpoint) {
  auto const state = checkpoint.state.bytes();
  detail::InputBuffer input;
  input.count = 1;
  std::uint64_t size = 0;
  detail::append(input.bytes, &size, sizeof size);
  detail::encode<std::uint64_t>(input.bytes, plan.checkpoint_every);
  detail::encode(input.bytes, std::vector<std::byte>(state.begin(), state.end()));
  size = input.bytes.size() - sizeof size;
  std::memcpy(input.bytes.data(), &size, sizeof size);
  if (checkpoint.resources) input.resources = *checkpoint.resources;
  return input;
}

// Of a start that failed for want of a descriptor. The error itself names the limit.
std::string descriptor_hint(std::exception const& error, std::size_t others) {
  auto const* const failed = dynamic_cast<std::system_error const*>(&error);
  if (failed == nullptr || failed->code().value() != EMFILE) return {};
  return "; " + std::to_string(others) + " others have 3 descriptors each";
}

}  // namespace

WorkerProxy::WorkerProxy(std::size_t index, WorkerServices& services)
    : index_(index),
      services_(services),
      core_(services.core),
      state_([&core = services.core](WorkerStanding before, WorkerStanding after) {
        core.recount(before, after);
      }) {}

bool WorkerProxy::fork_pending() const noexcept {
  return state_.is<ForkRequested>() || state_.is<ForkCancelled>();
}

std::uint64_t WorkerProxy::request_id() const noexcept {
  if (auto const* const requested = state_.get<ForkRequested>()) return requested->request_id;
  if (auto const* const cancelled = state_.get<ForkCancelled>()) return cancelled->request_id;
  return process_ ? process_->request_id() : 0;
}

bool WorkerProxy::speaks() const noexcept { return process_ && !state_.is<Starting>(); }

// ---- the start

void WorkerProxy::start() {
  PendingWorker pending;
  os::Child child;
  dedicated_ = core_.dedicated_worker(index_);
  slot().keep_checkpoints(makes_object() && dedicated_->actor()->checkpoint_every != 0);
  try {
    pending = services_.launcher.make(dedicated_, index_);
    bool const forks = !dedicated_ || dedicated_->options.start.method == Start::forkserver;
    if (forks && services_.fork_server.prepare() && request_fork(pending)) return;
    child = services_.launcher.spawn(pending, index_);
  } catch (std::exception const& error) {
    return start_failed(SpawnBackoff::Failure::start, detail::patiently([&] {
                          return "worker " + std::to_string(index_) +
                                 " could not be made: " + error.what() +
                                 (dedicated_ ? descriptor_hint(error, core_.dedicated_workers() - 1)
                                             : std::string());
                        }));
  }
  on_started(*state_.get<Vacant>(), std::move(child), std::move(pending), 0);
}

bool WorkerProxy::request_fork(PendingWorker& pending) {
  // The hello is sent ahead, so that the new worker need not wait for it. But a worker must be in
  // its cgroup before.
  pending.forked = true;
  if (!pending.cgroup) services_.launcher.send_hello(pending, index_);
  std::uint64_t const request_id = services_.fork_server.fork(
      services_.launcher.title(pending, index_), pending.fork_descriptors());
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
  // There is a process from now on: a failure ends the process, and the exit is reported.
  process_.emplace(index_, services_, std::move(child), request_id, pending);
  if constexpr (cancelled) {
    process_->report().leave_reason = from.reason;
    state_.change(from, Leaving{});
  } else {
    auto const now = std::chrono::steady_clock::now();
    state_.change(from, Starting{core_.debugged ? TimePoint::max()
                                                : detail::later(now, core_.options.start.timeout)});
  }
  core_.note_start(index_, process_->pid());
  if (dedicated_) dedicated_->started(process_->pid(), process_->pidfd());
  process_->connect(pending);
  if constexpr (cancelled) process_->kill();
  slot().open(std::move(pending.channel), std::move(pending.control), process_->pid(),
              std::move(pending.output));
}

void WorkerProxy::on_not_forked(std::string const& reason, SpawnBackoff::Failure failure,
                                std::exception_ptr const& error) {
  if (auto* const cancelled = state_.get<ForkCancelled>()) {
    services_.cgroups.add(std::move(cancelled->pending.cgroup));
    state_.change(*cancelled, Vacant());
  } else if (auto* const requested = state_.get<ForkRequested>()) {
    services_.cgroups.add(std::move(requested->pending.cgroup));
    state_.change(*requested, Vacant());
    if (reason.empty()) return;
    start_failed(failure, reason, error);
  }
}

void WorkerProxy::on_control() {
  if (!process_ || state_.is<Dead>()) return;
  if (!state_.is<Starting>()) return process_->on_hang_up();  // mostly the worker is dying
  auto const word = process_->receive_first_word();
  if (!word.received) {
    process_->ignore_control();  // the pidfd will report its exit
  } else if (!word.answer) {
    process_->kill("its first word was none that this program says");
  } else if (auto const* const refused = std::get_if<protocol::Refusal>(&*word.answer)) {
    process_->kill(refused->reason);
  } else {
    greet(std::get<protocol::Ready>(*word.answer));
  }
}

void WorkerProxy::greet(protocol::Ready const& answer) {
  // The modules of a forked worker are those of its fork server, which were compared when that came
  // up.
  if (process_->request_id() == 0) {
    // The answer comes once.
    if (auto const difference = detail::patiently(
            [&] { return services_.launcher.first_difference(answer.modules); })) {
      return process_->kill(*difference);
    }
  }
  try {
    process_->await_hang_up();
  } catch (std::exception const& error) {
    return process_->kill(error.what());
  }
  if (core_.options.start.initializer || makes_object()) {
    initialize();
  } else {
    make_ready(*state_.get<Starting>());
  }
}

void WorkerProxy::initialize() {
  Starting& starting = *state_.get<Starting>();
  Initializing& state = state_.change(starting, Initializing{starting.deadline});
  state.makes_object = !core_.options.start.initializer;
  send_initializer(state);
}

void WorkerProxy::send_initializer(Initializing& state) {
  try {
    auto const put = state.makes_object ? make_object(state.call)
                                        : state.call.send(slot(), *core_.options.start.initializer);
    if (put == Slot::Put::sent) return;
    process_->kill("the initializer could not be sent to it");
  } catch (std::exception const& error) {
    process_->kill(detail::patiently(
        [&] { return std::string("the initializer could not be sent to it: ") + error.what(); }));
  }
}

Slot::Put WorkerProxy::make_object(InternalCall& call) {
  detail::ActorPlan const& plan = *dedicated_->actor();
  if (auto const checkpoint = slot().checkpoint()) {
    return call.send(slot(), plan.restore, arguments_of(plan, *checkpoint));
  }
  return call.send(slot(), plan.construct, dedicated_->take_arguments());
}

void WorkerProxy::look_at_initializer() {
  auto* const state = state_.get<Initializing>();
  if (state == nullptr || process_->killed() || !state->call.ended()) return;
  state->failure = state->call.outcome();
  if (state->failure.kind != OutcomeBlock::Kind::values) {
    process_->kill();
  } else if (makes_object() && !state->makes_object) {
    state->makes_object = true;
    state->call = InternalCall();
    send_initializer(*state);
  } else {
    make_ready(*state);
    if (makes_object()) core_.actor_made(index_);
  }
}

template <class From>
void WorkerProxy::make_ready(From& from) {
  auto const now = std::chrono::steady_clock::now();
  Ready ready;
  if (auto const age = core_.options.lifetime.recycle_after) {
    // Up to a fifth earlier, and each worker at another time.
    double const part = 1 - 0.2 * even_share(index_);
    ready.retires = detail::later(now, std::chrono::duration<double>(*age) * part);
  }
  state_.change(from, ready);
  (dedicated_ ? restarts_ : services_.backoff).worker_ready();
  services_.fork_server.worker_ready();
  core_.worker_ready(index_, now);
  core_.tell(EventKind::worker_started, [&](Event& event) {
    if (dedicated_) event.pool = dedicated_->options.name;
    event.worker = static_cast<int>(index_);
    event.pid = process_->pid();
    event.text = worker_name(index_, process_->pid()) + " takes elements";
  });
  core_.place();
}

// A Process is started once, an actor as often as its options say. Others are started again, until
// that is hopeless.
void WorkerProxy::start_failed(SpawnBackoff::Failure failure, std::string const& reason,
                               std::exception_ptr const& error) {
  if (!dedicated_) return services_.start_failed(index_, failure, reason, error);
  core_.tell(EventKind::start_failed, [&](Event& event) {
    event.pool = dedicated_->options.name;
    event.worker = static_cast<int>(index_);
    event.text = reason;
  });
  std::exception_ptr const why = detail::patiently([&] {
    return std::make_exception_ptr(
        SetupError(dedicated_->text() + " could not be started: " + reason));
  });
  if (makes_object()) return end_incarnation(false, why);
  auto const worker = std::exchange(dedicated_, nullptr);
  core_.fail_waiting_for(index_, [&](Chunk const&) { return std::exception_ptr(why); });
  core_.release(index_);
  worker->not_started(why);
}

// A planned end is no failed start.
void WorkerProxy::cancel_start(LeaveReason reason) {
  if (auto* const requested = state_.get<ForkRequested>()) {
    state_.change(*requested,
                  ForkCancelled{std::move(requested->pending), requested->request_id, reason});
    return;
  }
  if (auto* const starting = state_.get<Starting>()) {
    state_.change(*starting, Leaving{});
  } else if (auto* const initializing = state_.get<Initializing>()) {
    state_.change(*initializing, Leaving{});
  } else {
    return;
  }
  process_->report().leave_reason = reason;
  process_->kill();
}

// ---- the channel

std::size_t WorkerProxy::look() {
  if (!speaks()) return 0;
  if (std::exchange(parked_, false)) slot().unpark();
  auto const taken = core_.collect(index_);
  if (!taken) process_->kill();
  if (slot().has_log()) tell_log();
  look_at_initializer();
  return taken.value_or(0);
}

void WorkerProxy::tell_log() {
  Slot::Log const log = slot().take_log();
  for (Slot::LogLine const& line : log.lines) {
    core_.tell_line(index_, dedicated_ ? dedicated_->options.name : core_.name, line);
  }
  if (log.more) core_.wake_dispatcher_soon();
}

// The worker sent no notification for its outcomes since the last look, so the slot is asked once
// more after the request.
bool WorkerProxy::park(std::uint32_t number) {
  if (!speaks() || parked_ || process_->killed()) return true;
  slot().park(number);
  parked_ = true;
  return !slot().news();
}

bool WorkerProxy::begin_short_poll(std::uint32_t number) {
  if (!speaks()) return true;
  parked_ = true;
  return !slot().begin_short_poll(number);
}

void WorkerProxy::on_output() {
  if (process_ && process_->relays_lines()) return process_->relay_lines();
  if (!process_ || !process_->has_output() || slot().read_output()) return;
  process_->on_output_closed();  // no process can write to it any more
}

// ---- the service

std::optional<WorkerProxy::TimePoint> WorkerProxy::tick(TimePoint now, std::size_t wanted) {
  if (!process_) {
    if (index_ >= wanted) cancel_start(LeaveReason::resized);
    NextLook next;  // the fork server has a deadline
    tick_actor(now, next);
    return next.time();
  }
  if (process_->overlooked()) on_exit();
  if (vacant()) return now;  // the end of the pool may have waited for it
  if (state_.is<Dead>()) return process_->unwatched_look(now);

  NextLook next;
  tick_actor(now, next);
  next.at(process_->unwatched_look(now));
  next.at(process_->relay_again(now));
  if (index_ >= wanted) cancel_start(LeaveReason::resized);
  if (!process_->killed()) {
    if (slot().marked_for_kill()) leave_for_element(now);
    if (state_.is<Ready>()) {
      // Without an element yet, another thread may be about to give it one.
      bool const asked = dedicated_ && dedicated_->stop_requested();
      if (asked && !slot().ask_first_to_stop()) next.at(now + retry_interval);
      if (auto const reason = leave_reason(now, wanted, next)) leave(now, *reason);
    }
  }
  if (process_->killed()) {
    if (dedicated_) dedicated_->forget_process();
    follow(process_->look_at_killed(now, next));
  } else {
    tick_leaving(now, next);
  }
  if (vacant()) return now;
  if (state_.is<Dead>()) return process_->unwatched_look(now);
  if (!process_->killed()) watch_over(now, next);
  if (!process_->killed()) tick_start(now, next);
  if (!process_->killed()) process_->escalate(now, next);
  return next.time();
}

void WorkerProxy::tick_actor(TimePoint now, NextLook& next) {
  auto worker = core_.living_actor(index_);
  if (!worker) return;
  Core::ActorEnd const end = core_.advance_actor_end(index_, now);
  next.at(end.deadline);
  bool const ends = end.phase == Phase::killing || (end.phase != Phase::open && end.drained);
  if (vacant()) {
    if (!ends) return next.at(restarts_.next_start());
    dedicated_ = std::move(worker);
    end_actor(outcome_of(actor_died("its end came before its next process")));
  } else if (end.phase == Phase::killing) {
    terminate();
  } else if (ends && state_.is<Ready>()) {
    leave(now, LeaveReason::with_pool);
  }
}

void WorkerProxy::tick_leaving(TimePoint now, NextLook& next) {
  auto* const leaving = state_.get<Leaving>();
  if (leaving == nullptr) return;
  if (leaving->exit_handler.due()) {
    leaving->exit_handler.send(core_, index_);
    if (leaving->exit_handler.due()) next.at(now + retry_interval);
  }
  if (!process_->terminated()) {
    // The time limit begins when the worker's last element has ended.
    bool const busy = core_.held(index_) != 0;
    if (busy || leaving->busy)
      process_->limit(detail::later(now, core_.options.shutdown.stop_grace));
    leaving->busy = busy;
  }
  // If only the exit of its process is missing, the place is free for another worker.
  // An owner wants to know how its process has ended.
  if (!dedicated_ && !leaving->busy && leaving->exit_handler.done() && slot().has_left() &&
      process_->depart()) {
    settle({os::Exit::Kind::none});
  }
}

void WorkerProxy::tick_start(TimePoint now, NextLook& next) {
  auto const limit = [this] { return std::to_string(core_.options.start.timeout.count()) + " ms"; };
  if (auto* const starting = state_.get<Starting>()) {
    next.at(starting->deadline);
    if (now < starting->deadline) return;
    process_->kill("it did not say its first word within " + limit());
  } else if (auto* const initializing = state_.get<Initializing>()) {
    next.at(initializing->deadline);
    if (now < initializing->deadline) return;
    initializing->failure = outcome_of(std::make_exception_ptr(
        TaskTimeout((initializing->makes_object ? "the constructor of " + dedicated_->text()
                                                : "the initializer of pool \"" + core_.name + '"') +
                    " took longer than " + limit())));
    process_->kill();
  }
}

std::optional<LeaveReason> WorkerProxy::leave_reason(TimePoint now, std::size_t wanted,
                                                     NextLook& next) const {
  PoolOptions const& options = core_.options;
  if (index_ >= wanted) return LeaveReason::resized;
  if (auto const hung_up = process_->hung_up()) {
    // If it lives on, large messages can neither come nor go: it finishes what it has.
    auto const leaves = *hung_up + hang_up_grace;
    if (now >= leaves) return LeaveReason::hung_up;
    next.at(leaves);
  }
  if (options.lifetime.max_tasks && core_.spent(index_)) return LeaveReason::recycled;
  if (slot().retiring()) return LeaveReason::recycled;
  if (options.lifetime.recycle_after) {
    TimePoint const retires = state_.get<Ready>()->retires;
    if (now >= retires) return LeaveReason::recycled;
    next.at(retires);
  }
  if (options.lifetime.idle_timeout) {
    if (auto const since = core_.idle_since(index_)) {
      auto const leaves = detail::later(*since, *options.lifetime.idle_timeout);
      if (now >= leaves) return LeaveReason::idle;
      next.at(leaves);
    }
  }
  return std::nullopt;
}

void WorkerProxy::leave(TimePoint now, LeaveReason reason) {
  process_->report().leave_reason = reason;
  process_->limit(detail::later(now, core_.options.shutdown.stop_grace));
  Leaving& leaving = state_.change(*state_.get<Ready>(), Leaving{});
  core_.worker_leaves(index_);
  core_.revoke(index_);
  core_.place();
  if (core_.options.start.exit_handler) {
    leaving.exit_handler.send(core_, index_);
  } else {
    slot().ask_to_leave();
  }
}

// The worker leaves by force. SIGTERM and SIGKILL end it at their times, whatever it waits for.
void WorkerProxy::leave_for_element(TimePoint now) {
  LeaveReason& reason = process_->report().leave_reason;
  if (reason == LeaveReason::for_element) return;
  if (auto* const ready = state_.get<Ready>()) state_.change(*ready, Leaving{});
  if (!state_.is<Leaving>()) return;
  reason = LeaveReason::for_element;
  process_->terminate(detail::later(now, core_.options.shutdown.term_grace));
}

void WorkerProxy::watch_over(TimePoint now, NextLook& next) {
  if (process_->report().leave_reason == LeaveReason::for_element) return;
  if (now >= process_->next_watch()) {
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
    if (process_->watch_over(now, duty)) slot().nudge();
    if (process_->killed()) return next.at(now);
  }
  if (process_->next_watch() > now) next.at(process_->next_watch());
}

// ---- the end

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
  process_->report().forced = state_.is<Ready>() || state_.is<Leaving>();
  process_->kill();
}

void WorkerProxy::on_exit() {
  if (!process_ || process_->status_asked()) return;
  if (dedicated_) dedicated_->forget_process();
  follow(process_->find_exit());
}

void WorkerProxy::on_reaped(os::Exit const& exit) {
  if (process_ && process_->status_asked()) settle(exit);
}

void WorkerProxy::on_fork_server_lost() {
  if (process_ && process_->status_asked()) settle(process_->reap());
}

void WorkerProxy::end_process(ExitReport const& report) {
  // A process that was refused, or was none of this program's, has not begun.
  bool const refused = report.when == When::starting && !report.cause.empty();
  if (refused) return start_failed(SpawnBackoff::Failure::start, report.text());
  auto const worker = std::exchange(dedicated_, nullptr);
  core_.fail_waiting_for(index_, [&report](Chunk const& chunk) { return report.reason(chunk); });
  core_.release(index_);
  worker->ended(report.exit);
}

std::exception_ptr WorkerProxy::actor_died(std::string const& how) const {
  return detail::patiently([&] {
    unsigned const restarts = dedicated_->incarnation() - 1;
    return std::make_exception_ptr(ActorDied(
        dedicated_->text() + " has died" +
        (restarts == 0
             ? std::string()
             : ", after " + std::to_string(restarts) + (restarts == 1 ? " restart" : " restarts")) +
        ": " + how));
  });
}

void WorkerProxy::end_incarnation(bool useful, std::exception_ptr const& reason) {
  if (!core_.restart_actor(index_, dedicated_->incarnation() - 1)) {
    return end_actor(outcome_of(reason));
  }
  if (useful) {
    restarts_.useful_exit();
  } else {
    restarts_.useless_exit(std::chrono::steady_clock::now());
  }
  dedicated_->forget_process();
  dedicated_->begin_again();
  dedicated_.reset();
}

void WorkerProxy::end_actor(OutcomeBlock outcome) {
  auto const worker = std::exchange(dedicated_, nullptr);
  restarts_ = SpawnBackoff();
  slot().keep_checkpoints(false);
  auto const reason = detail::patiently([&] { return detail::reason_of(outcome, 0); });
  core_.end_actor(index_, std::move(outcome));
  worker->not_started(reason);
}

void WorkerProxy::follow(std::optional<os::Exit> const& exit) {
  if (exit) {
    settle(*exit);
  } else if (process_->ended()) {
    die();
  }
}

WorkerState::Dead& WorkerProxy::die() {
  if (state_.is<Ready>()) core_.worker_leaves(index_);  // it gets no element any more
  return state_.die();
}

// The owner of a Process learns of its end in another way.
void WorkerProxy::tell_exit(ExitReport const& report, Slot::Death const& death, bool died,
                            std::string const& text) {
  using enum LeaveReason;
  if (report.when != When::ready && report.when != When::leaving) return;
  if (core_.slots_are == Core::Slots::of_processes) return;
  auto const attributed = std::ranges::find_if_not(
      death.attributed, [](Chunk const& chunk) { return chunk.task->internal(); });
  bool const has_element = attributed != death.attributed.end();
  std::string const how = detail::patiently([&] {
    std::string line = makes_object() ? dedicated_->text() + ": " + text : text;
    if (has_element) {
      line +=
          " while it had " + element_text(*attributed->task, attributed->first, attributed->count);
    }
    return line;
  });
  if (died) services_.deaths.add(how, std::chrono::steady_clock::now());
  LeaveReason const why = report.leave_reason;
  bool const replaced = why == recycled || why == for_element || why == hung_up;
  auto const kind = died       ? EventKind::worker_died
                    : replaced ? EventKind::worker_replaced
                               : EventKind::worker_left;
  core_.tell(kind, [&](Event& event) {
    event.pool = report.pool;
    event.worker = static_cast<int>(index_);
    event.pid = report.pid;
    if (report.exit.kind == os::Exit::Kind::signalled) event.signal = report.exit.code;
    if (report.exit.kind == os::Exit::Kind::exited) event.exit_status = report.exit.code;
    if (has_element) {
      event.task = attributed->task->id();
      event.element = attributed->first;
      event.label = attributed->task->label().text;
    }
    event.text = how;
  });
}

void WorkerProxy::settle(os::Exit const& exit) {
  // Nothing here may fail halfway: the worker's elements would be lost.
  Dead& dead = die();
  ExitReport& report = process_->report();
  report.when = dead.when();
  if (report.when == When::starting && report.cause.empty()) {
    report.cause = process_->refusal();
  }
  process_->unwatch();
  process_->relay_last_lines();
  Slot::Death death = slot().reap();
  if (slot().has_log()) detail::patiently([this] { tell_log(); });
  parked_ = false;
  // The end of its socket would end a process that is about to exit. Its stray has a copy.
  if (!report.departed) os::close_socket(std::move(death.control));
  services_.cgroups.add(process_->take_cgroup());

  report.exit = process_->own_part(exit);
  detail::patiently([&] { report.pool = dedicated_ ? dedicated_->options.name : core_.name; });
  report.examine(death);
  auto const reason = [&report](Chunk const& chunk) { return report.reason(chunk); };
  std::exception_ptr error;
  if (auto const* const initializing = std::get_if<Initializing>(&dead.last)) {
    // The exception of the initializer, or else the end of its worker.
    report.makes_object = initializing->makes_object;
    if (initializing->failure.kind != OutcomeBlock::Kind::values) {
      error = detail::patiently(
          [&] { return detail::reason_of(initializing->failure, initializing->call.id()); });
    }
    for (Chunk const& chunk : death.attributed) {
      if (!error) error = detail::patiently([&] { return reason(chunk); });
    }
    // A death in the call that makes an object is told already.
    bool const thrown = initializing->failure.kind != OutcomeBlock::Kind::values;
    if (error && (thrown || !report.makes_object)) {
      report.failure = detail::patiently([&] { return describe(error); });
    }
  }
  std::string const text = detail::patiently([&] { return report.text(); });
  // Before the elements end: a thread that waits for an element may look at the counters next.
  bool const died = core_.note_exit(index_, report, text);
  tell_exit(report, death, died, text);

  auto const last = std::move(dead.last);
  ExitReport const told = std::move(report);
  process_.reset();
  state_.change(dead, Vacant());
  if (makes_object() && told.when == When::starting) {
    return start_failed(SpawnBackoff::Failure::start, text);
  }
  if (auto const* const initializing = std::get_if<Initializing>(&last);
      initializing != nullptr && makes_object()) {
    // What a constructor throws, it throws again.
    if (initializing->failure.kind != OutcomeBlock::Kind::values) {
      return end_actor(initializing->failure);
    }
    return end_incarnation(false, actor_died(text));
  }
  if (dedicated_ && told.when == When::starting) return end_process(told);
  if (told.when == When::starting || told.when == When::initializing) {
    bool const killed_externally = !told.killed && may_be_killed_externally(exit);
    return services_.start_failed(index_,
                                  killed_externally ? SpawnBackoff::Failure::external_kill
                                  : error           ? SpawnBackoff::Failure::initializer
                                                    : SpawnBackoff::Failure::start,
                                  text, error);
  }
  bool const useful = death.useful;
  // Who has the outcome may ask for the exit next.
  if (dedicated_ && !makes_object()) dedicated_->note_exit(told.exit);
  std::exception_ptr const end_of_actor =
      makes_object() ? actor_died(death.kill_reason ? told.text_for(*death.kill_reason) : text)
                     : nullptr;
  core_.resolve_death(index_, std::move(death),
                      [&told](Chunk const& chunk) { return told.reason(chunk); });
  if (makes_object()) return end_incarnation(useful, end_of_actor);
  if (dedicated_) return end_process(told);
  if (auto const* const leaving = std::get_if<Leaving>(&last)) {
    detail::if_possible([&] { leaving->exit_handler.report(core_, index_); });
  }
  if (useful) {
    services_.backoff.useful_exit();
  } else if (told.when != When::leaving) {
    services_.backoff.useless_exit(std::chrono::steady_clock::now());
  }
  core_.place();
}

}  // namespace procpool::inline v0_1::parent
