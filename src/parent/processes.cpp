// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/processes.hpp"

#include <atomic>

#include <procpool/detail/engine/mutex.hpp>
#include <procpool/options.hpp>

#include "engine/fork_detection.hpp"

namespace procpool::inline v0_1::parent {
namespace {

struct Host {
  unsigned const forks = fork_count();
  detail::Mutex mutex;
  std::shared_ptr<LocalEngine> engine PROCPOOL_GUARDED_BY(mutex);  // null: there is none yet
};

// Never freed, so that a Process may be made until the very end. A forked child leaves the host of
// its parent as it is, since a thread that does not exist here may have locked it.
std::atomic<Host*> known_host{nullptr};

struct AtExit {
  ~AtExit() {
    // Acquire: the host was made by another thread.
    Host* const host = known_host.load(std::memory_order_acquire);
    if (host == nullptr || forked_since(host->forks)) return;
    std::shared_ptr<LocalEngine> engine;
    detail::Lock const lock(host->mutex);
    engine.swap(host->engine);
  }
};

Host& host() {
  static AtExit const at_exit;
  Host* known = known_host.load(std::memory_order_acquire);
  while (known == nullptr || forked_since(known->forks)) {
    auto made = std::make_unique<Host>();
    // Release: another thread sees the host complete. Acquire on failure: so does this one.
    if (known_host.compare_exchange_strong(known, made.get(), std::memory_order_acq_rel,
                                           std::memory_order_acquire)) {
      known = made.release();
    }
  }
  return *known;
}

std::shared_ptr<LocalEngine> make_engine() {
  PoolOptions options;
  options.name = "processes";
  // Each process has its own, see WorkerProxy::start().
  options.start.method = Start::forkserver;
  options.lifetime.max_tasks = 1;
  return std::make_shared<LocalEngine>(options, LocalEngine::Dedicated::to_processes);
}

}  // namespace

std::pair<std::shared_ptr<LocalEngine>, std::size_t> dedicate(
    std::shared_ptr<DedicatedWorker> const& worker) {
  Host& known = host();
  std::shared_ptr<LocalEngine> ended;  // destroyed without the lock: that joins its thread
  detail::Lock const lock(known.mutex);
  for (;;) {
    if (known.engine) {
      if (auto const slot = known.engine->dedicate(worker)) return {known.engine, *slot};
    }
    ended = std::exchange(known.engine, make_engine());
  }
}

}  // namespace procpool::inline v0_1::parent
