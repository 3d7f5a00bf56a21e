// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/actors.hpp"

#include <chrono>
#include <string>
#include <utility>

#include "engine/fork_detection.hpp"
#include "os/spawn.hpp"
#include "parent/core.hpp"
#include "parent/dedicated_worker.hpp"
#include "parent/worker_environment.hpp"

namespace procpool::inline v0_1::parent {
namespace {

constexpr std::chrono::seconds quiet_wait{10};

// An actor has its process for good, and a bound of its own for calls that wait.
PoolOptions options_of_actors(PoolOptions options) {
  options.queue_limit.reset();
  options.lifetime.max_tasks.reset();
  options.lifetime.recycle_above.reset();
  options.lifetime.recycle_after.reset();
  options.lifetime.idle_timeout.reset();
  return options;
}

Phase phase_of(End end) noexcept {
  return end == End::drain    ? Phase::draining
         : end == End::cancel ? Phase::cancelling
                              : Phase::killing;
}

}  // namespace

std::shared_ptr<detail::ActorEngine> Actors::make(detail::ActorPlan&& plan) {
  PoolOptions options = options_of_actors(pool_.options);
  auto environment =
      worker_environment(options, os::copy_environment(), worker_count(pool_.options));
  options.name += "/" + plan.name;
  auto const worker = std::make_shared<DedicatedWorker>(std::move(options), std::move(environment),
                                                        std::move(plan));
  detail::Lock const lock(mutex_);
  pool_.check_intake();
  if (!engine_) {
    engine_ = std::make_shared<LocalEngine>(options_of_actors(pool_.options),
                                            LocalEngine::Dedicated::to_actors);
  }
  auto const slot = engine_->dedicate(worker);
  if (!slot) throw PoolClosed("pool \"" + pool_.name + "\" is ending, and makes no more actors");
  return std::make_shared<LocalActor>(engine_, worker, *slot);
}

std::shared_ptr<LocalEngine> Actors::engine() const {
  detail::Lock const lock(mutex_);
  return engine_;
}

LocalActor::LocalActor(std::shared_ptr<LocalEngine> host, std::shared_ptr<DedicatedWorker> worker,
                       std::size_t slot)
    : forks_(fork_count()), host_(std::move(host)), worker_(std::move(worker)), slot_(slot) {}

LocalActor::~LocalActor() {
  if (forked_since(forks_)) {
    // Its locks are another process's, and are not even destroyed.
    using Kept = std::shared_ptr<DedicatedWorker>;
    static_cast<void>(std::make_unique<Kept>(std::move(worker_)).release());
    return;
  }
  shutdown(End::kill, std::nullopt);
  host_->release(slot_);
}

std::shared_ptr<detail::Task> LocalActor::make_task(detail::Function&& function,
                                                    detail::TaskOptions&& options) {
  return host_->make_task(std::move(function), std::move(options));
}

void LocalActor::open_stream(std::shared_ptr<detail::Task> const& task) {
  host_->open_stream(task);
}

void LocalActor::append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
                        bool last) {
  host_->append(task, std::move(input), last);
}

void LocalActor::seal(std::shared_ptr<detail::Task> const& task) { host_->seal(task); }

void LocalActor::cancel(std::shared_ptr<detail::Task> const& task, Running running) {
  host_->cancel(task, running);
}

void LocalActor::request_stop(std::shared_ptr<detail::Task> const& task) noexcept {
  host_->request_stop(task);
}

void LocalActor::close() { host_->core().close_actor(slot_); }

bool LocalActor::join_until(std::optional<TimePoint> deadline) {
  host_->core().begin_actor_end(slot_, Phase::draining, std::nullopt);
  return worker_->wait_until_ended(deadline);
}

Summary LocalActor::shutdown(End end, std::optional<TimePoint> deadline) {
  Core& core = host_->core();
  core.begin_actor_end(slot_, phase_of(end), deadline);
  if (!worker_->wait_until_ended(std::chrono::steady_clock::now() + quiet_wait)) {
    core.log(worker_->text() + " is ending and still waits for " +
             std::to_string(core.pending(slot_)) + " calls");
    worker_->wait_until_ended(std::nullopt);
  }
  return core.actor_summary(slot_);
}

Stats LocalActor::stats() const { return host_->stats(); }

std::vector<RunningElement> LocalActor::running(detail::Task const& task) const {
  return host_->running(task);
}

void LocalActor::help(detail::Task& task) { host_->help(task); }

detail::MessageMemory* LocalActor::message_memory() noexcept { return host_->message_memory(); }

pid_t LocalActor::pid() { return worker_->wait_for_pid(); }

unsigned LocalActor::incarnation() const { return worker_->incarnation(); }

std::size_t LocalActor::pending() const { return host_->core().pending(slot_); }

}  // namespace procpool::inline v0_1::parent
