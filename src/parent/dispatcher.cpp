// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/dispatcher.hpp"

#include <pthread.h>

#include <new>
#include <optional>
#include <string>
#include <system_error>

#include <procpool/errors.hpp>

#include "entry/worker_program.hpp"
#include "os/affinity.hpp"
#include "os/blocked_signals.hpp"
#include "os/cgroup.hpp"
#include "os/spawn.hpp"
#include "parent/core.hpp"
#include "parent/supervisor.hpp"
#include "parent/worker_environment.hpp"

namespace procpool::inline v0_1::parent {

Dispatcher::Dispatcher(Core& core) : core_(core) {}

Dispatcher::~Dispatcher() {
  if (thread_.joinable()) thread_.join();
}

bool Dispatcher::started() {
  detail::Lock const lock(start_mutex_);
  return thread_.joinable();
}

void Dispatcher::start_once() {
  // Acquire: what the thread was started with is there. Read before each call.
  if (running_.load(std::memory_order_acquire)) return;
  // Workers are spawned by the thread that starts here, and run where this thread may.
  std::optional<std::string> bound;
  std::optional<std::string> untraced;
  {
    detail::Lock const lock(start_mutex_);
    if (thread_.joinable()) return;
    bound = os::bound_thread();
    untraced = core_.begin_trace();
    start();
  }
  // The log function is the program's own code, and may use the pool.
  if (untraced) core_.log(*untraced);
  if (bound) core_.log("pool \"" + core_.name + "\": " + *bound);
}

void Dispatcher::start() {
  try {
    // If only the thread could not be had the last time, other threads may be using these.
    if (!core_.startable.load(std::memory_order_relaxed)) {
      core_.wake = os::Event();
      core_.look_timer = os::Timer();
      if (!core_.options.placement.cgroup.empty())
        os::sweep_cgroups(core_.options.placement.cgroup);
    }
    // Copied on the thread of the program's call: later the program may be changing it.
    supervisor_ = std::make_unique<Supervisor>(
        core_, worker_environment(core_.options, os::copy_environment(), core_.slots.size()),
        entry::open_worker_program(core_.options.start.worker_program));
  } catch (std::system_error const& error) {
    throw SetupError("pool \"" + core_.name + "\" cannot be started: " + error.what());
  }
  core_.note_cpus();
  core_.startable.store(true, std::memory_order_release);
  try {
    os::BlockedSignals const blocked;
    thread_ = std::thread([supervisor = supervisor_.get()] { supervisor->run(); });
  } catch (std::system_error const& error) {
    throw SetupError("pool \"" + core_.name +
                     "\" cannot start its dispatcher thread: " + error.what());
  }
  pthread_setname_np(thread_.native_handle(), "procpool");
  running_.store(true, std::memory_order_release);
}

}  // namespace procpool::inline v0_1::parent
