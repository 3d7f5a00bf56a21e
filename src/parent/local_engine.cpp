// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/local_engine.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <procpool/detail/engine/deadline.hpp>
#include <procpool/errors.hpp>

#include "engine/fork_detection.hpp"
#include "entry/entry_hook.hpp"
#include "parent/actors.hpp"
#include "parent/core.hpp"
#include "parent/dedicated_worker.hpp"
#include "parent/dispatcher.hpp"

namespace procpool::inline v0_1 {

using parent::Phase;

namespace {

constexpr std::chrono::seconds quiet_wait{10};
// An element that runs has ended by then, if only because its worker was abandoned.
constexpr auto kill_wait = parent::kill_patience + std::chrono::milliseconds(500);
constexpr std::size_t usual_input = 16 * 1024;

void add_actors(Stats& stats, Stats const& actors) {
  stats.submitted += actors.submitted;
  stats.queued += actors.queued;
  stats.running += actors.running;
  stats.done += actors.done;
  stats.records += actors.records;
  stats.worker_starts += actors.worker_starts;
  stats.worker_deaths += actors.worker_deaths;
  stats.workers_timed_out += actors.workers_timed_out;
  stats.workers_cancelled += actors.workers_cancelled;
  stats.failed_starts += actors.failed_starts;
  stats.actors += actors.actors;
  stats.actor_restarts += actors.actor_restarts;
  stats.waited += actors.waited;
  stats.ran += actors.ran;
}

}  // namespace

LocalEngine::LocalEngine(PoolOptions const& options)
    : LocalEngine(std::make_unique<parent::Core>(options)) {}

LocalEngine::LocalEngine(PoolOptions const& options, Dedicated to)
    : LocalEngine(std::make_unique<parent::Core>(
          options, to == Dedicated::to_actors ? parent::Core::Slots::of_actors
                                              : parent::Core::Slots::of_processes)) {}

LocalEngine::LocalEngine(std::unique_ptr<parent::Core> core)
    : forks_(fork_count()),
      core_(std::move(core)),
      dispatcher_(std::make_unique<parent::Dispatcher>(*core_)),
      actors_(std::make_unique<parent::Actors>(*core_)) {}

LocalEngine::~LocalEngine() {
  if (forked_since(forks_)) {
    // Thread, locks and workers belong to another process, and are not even read.
    static_cast<void>(core_.release());
    static_cast<void>(dispatcher_.release());
    static_cast<void>(actors_.release());
    return;
  }
  shutdown(End::kill, std::nullopt);
}

void LocalEngine::check_process() const {
  if (forked_since(forks_)) {
    throw SetupError("pool \"" + core_->name +
                     "\" belongs to the process that this one was forked from; make a pool here");
  }
}

void LocalEngine::prepare() {
  check_process();
  entry::check_depth(core_->options.nesting_limit);
  dispatcher_->start_once();
}

void LocalEngine::begin_trace() { core_->begin_trace(true); }

std::shared_ptr<detail::Task> LocalEngine::make_task(detail::Function&& function,
                                                     detail::TaskOptions&& options) {
  check_process();
  return core_->make_task(std::move(function), std::move(options));
}

void LocalEngine::open_stream(std::shared_ptr<detail::Task> const&) {
  prepare();
  core_->check_intake();
}

void LocalEngine::append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
                         bool last) {
  prepare();
  core_->append(task, std::move(input), last);
}

std::size_t LocalEngine::begin_on_each_worker(std::shared_ptr<detail::Task> const& task) {
  prepare();
  return core_->begin_on_each_worker(task);
}

void LocalEngine::seal(std::shared_ptr<detail::Task> const& task) {
  check_process();
  core_->seal(*task);
}

void LocalEngine::cancel(std::shared_ptr<detail::Task> const& task, Running running) {
  check_process();
  if (running == Running::is_ended) task->mark_for_end();
  core_->cancel(task);
  if (running == Running::goes_on) return;
  core_->end_running(*task);
  // A process that cannot be killed is abandoned by then.
  task->wait_until(detail::later(
      detail::later(std::chrono::steady_clock::now(), core_->options.shutdown.term_grace),
      kill_wait));
}

void LocalEngine::cancel_from(detail::Task& task, std::uint64_t first) {
  check_process();
  core_->cancel_from(task, first);
  core_->place();
}

void LocalEngine::request_stop(std::shared_ptr<detail::Task> const& task) noexcept {
  if (!forked_since(forks_)) core_->request_stop(task);
}

std::shared_ptr<detail::ActorEngine> LocalEngine::make_actor(detail::ActorPlan&& plan) {
  check_process();
  return actors_->make(std::move(plan));
}

void LocalEngine::close() {
  check_process();
  core_->close();
  if (auto const actors = actors_->engine()) actors->close();
}

bool LocalEngine::join_until(std::optional<TimePoint> deadline) {
  check_process();
  core_->begin_end(Phase::draining, std::nullopt);
  // No actor is made from now on.
  auto const actors = actors_->engine();
  if (actors && !actors->join_until(deadline)) return false;
  return core_->wait_for_end(dispatcher_->started(), deadline);
}

Summary LocalEngine::shutdown(End end, std::optional<TimePoint> deadline) {
  check_process();
  begin_end(end, deadline);
  auto const actors = actors_->engine();  // no other one is made from now on
  if (actors) actors->begin_end(end, deadline);
  Summary summary = wait_for_end();
  if (actors) {
    Summary const of_actors = actors->wait_for_end();
    summary.done += of_actors.done;
    summary.cancelled += of_actors.cancelled;
    summary.forced += of_actors.forced;
  }
  return summary;
}

void LocalEngine::begin_end(End end, std::optional<TimePoint> deadline) {
  core_->begin_end(end == End::drain    ? Phase::draining
                   : end == End::cancel ? Phase::cancelling
                                        : Phase::killing,
                   deadline);
}

Summary LocalEngine::wait_for_end() {
  bool const running = dispatcher_->started();
  if (!core_->wait_for_end(running, std::chrono::steady_clock::now() + quiet_wait)) {
    core_->log("pool \"" + core_->name + "\" is ending and still waits for " + core_->awaited());
    core_->wait_for_end(running, std::nullopt);
  }
  return core_->end_summary();
}

unsigned LocalEngine::size() const noexcept {
  return static_cast<unsigned>(core_->wanted_workers());
}

void LocalEngine::resize(std::size_t workers) {
  check_process();
  core_->resize(workers);
  core_->wake_dispatcher();
}

void LocalEngine::start_workers(std::shared_ptr<detail::Task> const& task, std::size_t workers) {
  prepare();
  core_->start_workers(task, workers);
}

void LocalEngine::pause() {
  check_process();
  core_->pause();
}

void LocalEngine::resume() {
  check_process();
  core_->resume();
}

void LocalEngine::help(detail::Task& task) {
  if (!forked_since(forks_)) core_->help(task);
}

std::vector<WorkerStats> LocalEngine::worker_stats() const {
  check_process();
  return core_->worker_stats();
}

std::vector<RunningElement> LocalEngine::running(detail::Task const& task) const {
  check_process();
  return core_->running_elements(&task);
}

Stats LocalEngine::stats() const {
  check_process();
  Stats stats = core_->stats();
  if (auto const actors = actors_->engine()) add_actors(stats, actors->core_->stats());
  return stats;
}

detail::MessageMemory* LocalEngine::message_memory() noexcept {
  // Not before there is a dispatcher, who sees to it that nothing is kept for long.
  bool const usable = !forked_since(forks_) && core_->startable.load(std::memory_order_acquire);
  return usable ? core_->buffer_pool.get() : nullptr;
}

std::optional<std::size_t> LocalEngine::dedicate(
    std::shared_ptr<parent::DedicatedWorker> const& worker) {
  auto const slot = core_->dedicate(worker);
  if (!slot) return std::nullopt;
  // Not before there is a slot that is used: the dispatcher ends when there is none.
  try {
    prepare();
  } catch (...) {
    core_->release(*slot);
    throw;
  }
  return slot;
}

void LocalEngine::release(std::size_t slot) { core_->release(slot); }

void LocalEngine::request_stop(parent::DedicatedWorker& worker) {
  worker.request_stop();
  core_->wake_dispatcher();
}

std::size_t LocalEngine::input_elements(detail::Task const& task) const {
  std::size_t const chunk = task.chunk();
  // Larger ones would find room in an empty queue only.
  std::size_t const most = std::min(usual_input, core_->queue_limit().value_or(usual_input));
  if (chunk == 0) return most;
  // Whole chunks, as many as make a usual input buffer.
  return chunk * std::max<std::size_t>(1, most / chunk);
}

}  // namespace procpool::inline v0_1
