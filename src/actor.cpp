// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/actor.hpp>

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include <procpool/detail/async/nest.hpp>
#include <procpool/detail/operations/call_options.hpp>

#include "engine/fork_detection.hpp"
#include "engine/worker_options.hpp"

namespace procpool::inline v0_1::detail {
namespace {

constexpr unsigned call_options = use_timeout | use_queue_timeout | use_priority | use_when_full |
                                  use_executor | use_stream | use_deadline | use_stop | use_label;

constexpr std::size_t max_restarts = 1'000'000;

// Those of the pool's options that a call of an actor has.
CallOptions usable(CallOptions const& defaults) {
  CallOptions options;
  options.timeout = defaults.timeout;
  options.queue_timeout = defaults.queue_timeout;
  options.priority = defaults.priority;
  options.when_full = defaults.when_full;
  options.executor = defaults.executor;
  options.deadline = defaults.deadline;
  options.stop = defaults.stop;
  return options;
}

// "Counter" for "(anonymous namespace)::Counter".
std::string last_name(std::string const& type) {
  std::size_t depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < type.size(); ++i) {
    if (type[i] == '<') ++depth;
    if (type[i] == '>') --depth;
    if (depth == 0 && type.compare(i, 2, "::") == 0) begin = i + 2;
  }
  return type.substr(begin);
}

ActorPlan&& complete(ActorPlan& plan, ActorOptions const& options, std::string const& type) {
  PoolOptions named;
  named.name = plan.name = options.name.empty() ? last_name(type) : options.name;
  check_worker_options(named, "ActorOptions");
  plan.restarts = checked(options.restarts, "restarts", max_restarts, 0);
  if (plan.checkpoint_every != 0 && plan.restore.code == nullptr) {
    throw std::invalid_argument("procpool: ActorOptions::checkpoint_every is " +
                                std::to_string(plan.checkpoint_every) + ", but " + type +
                                " cannot be serialized, as a checkpoint needs");
  }
  if (plan.restarts != 0 && any_is_carried(plan.arguments.resources)) {
    throw std::invalid_argument(
        "procpool: an end of a pipe has one owner, and cannot be given to the constructor of an "
        "actor again after a restart; give it to a member function");
  }
  if (options.queue_limit) {
    plan.queue_limit = checked(*options.queue_limit, "queue_limit", max_queue_limit);
  }
  return std::move(plan);
}

}  // namespace

ActorCaller::ActorCaller(std::shared_ptr<Engine> engine, CallContext const& pool,
                         CallOptions options, std::optional<Key> key)
    : engine_(std::move(engine)), options_(std::move(options)) {
  auto context = std::make_shared<CallContext>(pool);
  context->engine = engine_;
  context->executor = options_.executor;
  context->control = control_of(options_);
  context->control.key = key;
  context_ = std::move(context);
}

ActorCaller ActorCaller::with(CallOptions const& given) const {
  check_process(*context_);
  check_options(given);
  refuse_unused(given, call_options, "the calls of an actor");
  return {engine_, *context_, merge_options(options_, given), context_->control.key};
}

struct ActorHandle::State {
  std::shared_ptr<ActorEngine> engine;
  ActorCaller calls;
  unsigned const forks = fork_count();
  int const exceptions = std::uncaught_exceptions();
};

ActorHandle::ActorHandle(Engine& pool, CallContext const& context, CallOptions const& defaults,
                         ActorOptions const& options, std::string const& type, ActorPlan&& plan) {
  // If there will be no actor, ends of pipes go back to their handles.
  NamedResources given;
  given.list() = plan.arguments.resources;
  auto engine = pool.make_actor(complete(plan, options, type));
  auto const key = engine->key();
  state_ = std::make_unique<State>(State{engine, {engine, context, usable(defaults), key}});
  given.sent();
}

ActorHandle::ActorHandle(ActorHandle&& other) noexcept = default;

ActorHandle& ActorHandle::operator=(ActorHandle&& other) noexcept {
  if (this == &other) return *this;
  end();
  state_ = std::move(other.state_);
  return *this;
}

ActorHandle::~ActorHandle() { end(); }

ActorHandle::State& ActorHandle::state() const {
  if (!state_) throw std::logic_error("procpool: this actor was moved from");
  if (forked_since(state_->forks)) {
    throw SetupError(
        "this actor belongs to the process that this one was forked from; make a pool and an actor "
        "here");
  }
  return *state_;
}

ActorCaller const& ActorHandle::caller() const { return state().calls; }

pid_t ActorHandle::pid() const { return state().engine->pid(); }

unsigned ActorHandle::incarnation() const { return state().engine->incarnation(); }

std::size_t ActorHandle::pending() const { return state().engine->pending(); }

void ActorHandle::close() { state().engine->close(); }

bool ActorHandle::join_until(std::optional<TimePoint> deadline) {
  State& state = this->state();
  go_on_with_postponed();
  return state.engine->join_until(deadline);
}

Summary ActorHandle::shutdown(End end, std::optional<Milliseconds> timeout) {
  State& state = this->state();
  go_on_with_postponed();
  return state.engine->shutdown(end, timeout ? deadline_after(*timeout) : std::nullopt);
}

void ActorHandle::end() noexcept {
  if (!state_) return;
  if (forked_since(state_->forks)) {
    static_cast<void>(state_.release());  // its locks are another process's, and not even read
    return;
  }
  try {
    bool const unwinding = std::uncaught_exceptions() > state_->exceptions;
    shutdown(unwinding ? End::kill : End::drain, std::nullopt);
  } catch (...) {  // no memory to wait with: the engine's own end kills
  }
  state_.reset();
}

}  // namespace procpool::inline v0_1::detail
