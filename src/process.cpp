// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/process.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/nest.hpp>
#include <procpool/detail/operations/call_options.hpp>
#include <procpool/errors.hpp>

#include "engine/fork_detection.hpp"
#include "engine/worker_options.hpp"
#include "os/spawn.hpp"
#include "parent/dedicated_worker.hpp"
#include "parent/processes.hpp"
#include "parent/worker_environment.hpp"

namespace procpool::inline v0_1::detail {
namespace {

constexpr std::chrono::seconds quiet_wait{10};

std::shared_ptr<parent::DedicatedWorker> make_worker(ProcessOptions const& given) {
  if (given.start == Start::in_process) {
    throw std::invalid_argument(
        "procpool: ProcessOptions::start is Start::in_process, but a Process is a process of its "
        "own; call the function instead");
  }
  if (given.harden && given.start == Start::forkserver) {
    throw std::invalid_argument(
        "procpool: ProcessOptions::harden is for Start::spawn only, because a fork server has the "
        "program's environment in its memory");
  }
  PoolOptions options;
  options.name = given.name;
  options.start.method = given.start;
  options.limits = given.limits;
  options.start.environment = given.environment;
  options.output.mode = given.output;
  options.harden = given.harden;
  options.exceptions = given.exceptions;
  check_worker_options(options, "ProcessOptions");
  auto environment = parent::worker_environment(options, os::copy_environment(), 1);
  return std::make_shared<parent::DedicatedWorker>(std::move(options), std::move(environment));
}

CallOptions checked_call_options(ProcessOptions const& options) {
  CallOptions call;
  call.timeout = options.timeout;
  check_options(call);
  return call;
}

}  // namespace

struct ProcessHandle::State {
  explicit State(ProcessOptions const& options)
      : worker(make_worker(options)),
        call_options(checked_call_options(options)),
        at_exit(options.at_exit) {}

  std::shared_ptr<parent::DedicatedWorker> const worker;
  CallOptions call_options;
  End const at_exit;
  unsigned const forks = fork_count();
  int const exceptions = std::uncaught_exceptions();
  std::shared_ptr<LocalEngine> engine{};
  std::shared_ptr<Engine> any_engine{};  // the same one
  std::shared_ptr<CallContext const> context{};
  std::size_t slot = 0;
  pid_t pid = 0;
  bool given = false;  // the call, to the engine
  std::atomic<bool> signalled{false};
};

ProcessHandle::ProcessHandle(ProcessOptions const& options)
    : state_(std::make_unique<State>(options)) {
  State& state = *state_;
  auto [engine, slot] = parent::dedicate(state.worker);
  state.any_engine = state.engine = std::move(engine);
  state.slot = slot;
  state.call_options.key = slot;
  state.context = std::make_shared<CallContext const>(CallContext{state.engine,
                                                                  Callbacks::without_pool(),
                                                                  {},
                                                                  control_of(state.call_options),
                                                                  options.exceptions});
}

ProcessHandle::ProcessHandle(ProcessHandle&& other) noexcept = default;

ProcessHandle& ProcessHandle::operator=(ProcessHandle&& other) noexcept {
  if (this == &other) return *this;
  end();
  state_ = std::move(other.state_);
  return *this;
}

ProcessHandle::~ProcessHandle() { end(); }

ProcessHandle::State& ProcessHandle::state() const {
  if (!state_) throw std::logic_error("procpool: this Process was moved from");
  if (forked_since(state_->forks)) {
    throw SetupError(state_->worker->text() +
                     " belongs to the process that this one was forked from; make one here");
  }
  return *state_;
}

Caller ProcessHandle::caller() const {
  return {state_->any_engine, state_->context, state_->call_options};
}

void ProcessHandle::start() {
  state_->given = true;
  state_->pid = state_->worker->wait_until_started();
}

pid_t ProcessHandle::pid() const { return state().pid; }

bool ProcessHandle::alive() const { return state().worker->alive(); }

bool ProcessHandle::join_until(std::optional<TimePoint> deadline) const {
  parent::DedicatedWorker& worker = *state().worker;
  go_on_with_postponed();
  return worker.wait_until_ended(deadline);
}

std::optional<int> ProcessHandle::exit_status() const {
  auto const exit = state().worker->exit();
  if (!exit || exit->kind != os::Exit::Kind::exited) return std::nullopt;
  return exit->code;
}

std::optional<int> ProcessHandle::exit_signal() const {
  auto const exit = state().worker->exit();
  if (!exit || exit->kind != os::Exit::Kind::signalled) return std::nullopt;
  return exit->code;
}

void ProcessHandle::request_stop() {
  State& state = this->state();
  state.engine->request_stop(*state.worker);
}

void ProcessHandle::kill() {
  State& state = this->state();
  // Relaxed, here and below: read when no other thread has the object.
  state.signalled.store(true, std::memory_order_relaxed);
  state.worker->kill();
}

void ProcessHandle::signal(int number) {
  State& state = this->state();
  state.signalled.store(true, std::memory_order_relaxed);
  state.worker->signal(number);
}

bool ProcessHandle::end() noexcept {
  if (!state_) return false;
  if (forked_since(state_->forks)) {
    static_cast<void>(state_.release());  // its locks are another process's, and not even read
    return false;
  }
  auto const state = std::move(state_);
  if (!state->engine) return false;
  if (!state->given) {
    state->engine->release(state->slot);
    return false;
  }
  parent::DedicatedWorker& worker = *state->worker;
  bool const unwinding = std::uncaught_exceptions() > state->exceptions;
  bool const kills = unwinding || state->at_exit == End::kill;
  try {
    if (!kills) state->engine->request_stop(worker);
    if (kills) worker.kill();
    go_on_with_postponed();
    if (!worker.wait_until_ended(std::chrono::steady_clock::now() + quiet_wait)) {
      state->context->callbacks->log(worker.text() + " (pid " + std::to_string(state->pid) +
                                     ") is being joined and has not ended yet");
      worker.wait_until_ended(std::nullopt);
    }
  } catch (...) {  // no memory for the text
    worker.kill();
    worker.wait_until_ended(std::nullopt);
  }
  return kills || state->signalled.load(std::memory_order_relaxed);
}

}  // namespace procpool::inline v0_1::detail
