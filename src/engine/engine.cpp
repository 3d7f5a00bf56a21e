// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/engine/engine.hpp>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <procpool/detail/engine/actor_engine.hpp>
#include <procpool/detail/operations/call_options.hpp>
#include <procpool/engine.hpp>
#include <procpool/entry.hpp>

#include "engine/in_process.hpp"
#include "engine/worker_options.hpp"
#include "os/affinity.hpp"
#include "parent/local_engine.hpp"

namespace procpool::inline v0_1::detail {

Engine::~Engine() = default;

EngineMaker::~EngineMaker() = default;

std::shared_ptr<Task> Engine::make_task(Function&& function, TaskOptions&& options) {
  return std::make_shared<Task>(std::move(function), std::move(options));
}

void Engine::start_workers(std::shared_ptr<Task> const& task, std::size_t) {
  task->announce(1, true);
  OutcomeBlock ready;
  ready.count = 1;
  task->deliver(std::move(ready));
}

std::shared_ptr<ActorEngine> Engine::make_actor(ActorPlan&&) {
  throw std::logic_error("procpool: this engine has no actors");
}

void Engine::pause() {
  throw std::logic_error(
      "procpool: a pool with Start::in_process runs each call in the caller, and "
      "cannot pause");
}

ActorEngine::~ActorEngine() = default;

namespace {

void check_positive(std::chrono::milliseconds time, char const* what) {
  if (time > std::chrono::milliseconds::zero()) return;
  throw std::invalid_argument(std::string("PoolOptions::") + what + " is " +
                              std::to_string(time.count()) + " ms; it must be positive");
}

void check_lifetime(LifetimeOptions const& lifetime) {
  if (lifetime.max_tasks) checked(*lifetime.max_tasks, "lifetime.max_tasks", max_tasks);
  constexpr std::uint64_t least = std::uint64_t{1} << 20;
  if (lifetime.recycle_above && *lifetime.recycle_above < least) {
    throw std::invalid_argument("PoolOptions::lifetime.recycle_above is " +
                                std::to_string(*lifetime.recycle_above) + "; it must be at least " +
                                std::to_string(least));
  }
  if (lifetime.recycle_after) check_positive(*lifetime.recycle_after, "lifetime.recycle_after");
  if (lifetime.idle_timeout) check_positive(*lifetime.idle_timeout, "lifetime.idle_timeout");
}

void check_shutdown(ShutdownOptions const& shutdown) {
  if (shutdown.timeout) check_positive(*shutdown.timeout, "shutdown.timeout");
  check_positive(shutdown.stop_grace, "shutdown.stop_grace");
  if (shutdown.ask_grace < std::chrono::milliseconds::zero()) {
    throw std::invalid_argument("PoolOptions::shutdown.ask_grace is negative");
  }
  check_positive(shutdown.term_grace, "shutdown.term_grace");
}

void check_placement(PlacementOptions const& placement) {
  for (int const cpu : placement.cpus) {
    if (os::may_run_on(cpu)) continue;
    throw std::invalid_argument("PoolOptions::placement.cpus names CPU " + std::to_string(cpu) +
                                ", on which this program may not run");
  }
  constexpr int max_nice = 39;
  if (placement.nice < 0 || placement.nice > max_nice) {
    throw std::invalid_argument("PoolOptions::placement.nice is " + std::to_string(placement.nice) +
                                "; it must be from 0 to " + std::to_string(max_nice));
  }
  if (placement.cpus_per_worker) {
    std::size_t const cpus =
        placement.cpus.empty() ? os::usable_cpus().size() : placement.cpus.size();
    checked(*placement.cpus_per_worker, "placement.cpus_per_worker",
            std::max<std::size_t>(1, cpus));
  }
}

void check_defaults(CallOptions const& defaults) {
  check_options(defaults);
  if (!defaults.stream) return;
  throw std::invalid_argument(
      "procpool: PoolOptions::defaults has a stream, so that all calls would draw the same random "
      "numbers; name it with the call: pool.with({.stream = n})");
}

void check_preload(StartOptions const& start) {
  if (!start.preload) return;
  if (start.method == Start::spawn) {
    throw std::invalid_argument(
        "PoolOptions::start.preload needs Start::forkserver: workers that are spawned share no "
        "memory with each other. Use an initializer, which each of them runs, or share_object()");
  }
  if (!BoundCallAccess::function(*start.preload).resources.empty()) {
    throw std::invalid_argument(
        "PoolOptions::start.preload has a handle among its arguments: a shared value, shared "
        "memory, a queue or a pipe. No handle travels to a fork server; give it to the tasks or to "
        "the initializer");
  }
}

}  // namespace

std::unique_ptr<Engine> make_engine(PoolOptions const& options) {
  if (options.workers) checked(*options.workers, "workers", max_workers);
  check_positive(options.start.timeout, "start.timeout");
  check_lifetime(options.lifetime);
  check_shutdown(options.shutdown);
  check_placement(options.placement);
  checked(options.output.limit, "output.limit", max_output);
  check_defaults(options.defaults);
  if (options.queue_limit) checked(*options.queue_limit, "queue_limit", max_queue_limit);
  checked(options.nesting_limit, "nesting_limit", max_nesting);
  check_worker_options(options, "PoolOptions");
  check_preload(options.start);
  if (auto const* const maker = PoolEngineAccess::maker(options.engine))
    return maker->make(options);
  if (options.start.method == Start::in_process) return std::make_unique<InProcessEngine>(options);
  auto engine = std::make_unique<LocalEngine>(options);
  // A pool with static storage is one of each worker too, which most likely makes no use of it.
  if (!in_worker()) engine->begin_trace();
  return engine;
}

}  // namespace procpool::inline v0_1::detail
