// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Worker: the loop of a worker. It takes frames from the inbox until the parent needs it no more.
//
// The main thread only. User code runs inside.

#include <string>

#include <procpool/detail/export.hpp>

#include "channel/worker_end.hpp"
#include "worker/chunk_runner.hpp"
#include "worker/worker_context.hpp"

namespace procpool::inline v0_1::worker {

class Worker {
 public:
  // `channel` and `context` outlive the worker.
  Worker(channel::WorkerEnd& channel, WorkerContext& context, ChunkRunner::Settings settings);

  // Ends the process if the thread ends inside, or if something of the system is missing.
  void loop();
  // An element has thrown.
  bool threw() const noexcept { return runner_.threw(); }

 private:
  PROCPOOL_PASSES_FORCED_END void take_frames();
  void register_function();
  void adopt_resource();
  std::shared_ptr<detail::Resource> receive_value();
  void evict();

  channel::WorkerEnd& channel_;
  WorkerContext& context_;
  ChunkRunner runner_;
  // A function or a shared value could not be received. The parent does not send it again, so
  // another worker has to take this one's place.
  bool missed_ = false;
};

}  // namespace procpool::inline v0_1::worker
