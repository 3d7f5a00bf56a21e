// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Watches for the ways by which a task can leave the loop of its worker without returning or
// throwing: fork(), exit(), and the end of the thread. Each worker process has one loop.

#include <cstddef>

#include "channel/worker_end.hpp"
#include "worker/worker_context.hpp"

namespace procpool::inline v0_1::worker {

// From now on a forked child of this process is told apart from it, and exit() is reported to the
// parent: it may never come to an end, for instance in a heap that a task has damaged. Both objects
// live until the process ends. On the thread that runs elements; once.
void guard_process(channel::WorkerEnd& channel, WorkerContext& context);

// Stands in the frame of the loop: pthread_exit unwinds through it.
class LoopGuard {
 public:
  LoopGuard(channel::WorkerEnd& channel, WorkerContext const& context) noexcept
      : channel_(channel), context_(context) {}
  // Ends the process with a hint for the parent, unless the loop was left as it should be.
  ~LoopGuard();
  LoopGuard(LoopGuard const&) = delete;
  LoopGuard& operator=(LoopGuard const&) = delete;

  void leave() noexcept { left_ = true; }

 private:
  channel::WorkerEnd& channel_;
  WorkerContext const& context_;
  bool left_ = false;
};

}  // namespace procpool::inline v0_1::worker
