// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Dispatcher: the thread of a pool, which runs its Supervisor. It is started with the first call,
// so that a pool that only exists has neither a thread nor descriptors.
//
// Any thread may call anything.

#include <atomic>
#include <memory>
#include <thread>

#include <procpool/detail/engine/mutex.hpp>

namespace procpool::inline v0_1::parent {

class Core;
class Supervisor;

class Dispatcher {
 public:
  explicit Dispatcher(Core& core);
  // The core must have ended. Joins the thread.
  ~Dispatcher();

  // Starts the thread if there is none. Throws SetupError.
  void start_once();
  bool started();

 private:
  void start() PROCPOOL_REQUIRES(start_mutex_);

  Core& core_;
  detail::Mutex start_mutex_;
  std::unique_ptr<Supervisor> supervisor_ PROCPOOL_GUARDED_BY(start_mutex_);
  std::thread thread_ PROCPOOL_GUARDED_BY(start_mutex_);
  std::atomic<bool> running_{false};
};

}  // namespace procpool::inline v0_1::parent
