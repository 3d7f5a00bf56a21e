// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// WorkerLauncher: makes the resources of a new worker, and its process. Image, environment and
// modules are taken when the dispatcher starts, so that all workers are alike. For the dispatcher's
// thread alone: workers die with the thread that spawned them.

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <procpool/options.hpp>

#include "channel/parent_end.hpp"
#include "entry/worker_program.hpp"
#include "identity/module.hpp"
#include "os/cgroup.hpp"
#include "os/event.hpp"
#include "os/fd.hpp"
#include "os/liveness_pipe.hpp"
#include "os/memfd.hpp"
#include "os/spawn.hpp"
#include "parent/fork_server_process.hpp"
#include "parent/output_capture.hpp"
#include "parent/output_lines.hpp"

namespace procpool::inline v0_1::parent {

class Core;
class DedicatedWorker;

// The resources of a worker that has no process yet.
struct PendingWorker {
  std::unique_ptr<channel::ParentEnd> channel;
  os::UniqueFd control;                              // our end of the socket
  os::UniqueFd workers_control;                      // the worker's end
  std::shared_ptr<DedicatedWorker const> dedicated;  // whose options it has; null: the pool's
  std::unique_ptr<OutputCapture> output;             // null unless output is captured
  std::unique_ptr<OutputLines> lines;                // null unless output goes by lines
  os::UniqueFd null_device;                          // to be the output of a forked worker
  os::Event event{os::UniqueFd()};
  os::Cgroup cgroup;
  bool forked = false;  // or to be forked; else it is spawned
  bool hello_sent = false;

  // The descriptors that a fork server passes to the worker.
  std::vector<int> fork_descriptors() const;
};

class WorkerLauncher {
 public:
  // `environment`: "NAME=value" each, of the workers.
  WorkerLauncher(Core const& core, std::vector<std::string> environment,
                 entry::WorkerProgram program = {});

  // All of these throw std::system_error.
  // `dedicated`: null for a worker that has the options of the pool.
  PendingWorker make(std::shared_ptr<DedicatedWorker const> dedicated = nullptr,
                     std::size_t index = 0);
  os::Child spawn(PendingWorker const& pending, std::size_t index) const;
  // Does not block: the worker's socket is empty.
  void send_hello(PendingWorker& pending, std::size_t index) const;

  // After make().
  ForkServerProcess::Settings fork_server_settings() const;
  // A sentence about the first module that differs from the program's.
  std::optional<std::string> first_difference(
      std::vector<identity::LoadedModule> const& modules) const;
  // "[pool/3]", or "[name]" of a dedicated worker
  std::string title(PendingWorker const& pending, std::size_t index) const;

 private:
  void open();
  PoolOptions const& options_of(PendingWorker const& pending) const noexcept;

  Core const& core_;
  std::vector<std::string> const environment_;
  entry::WorkerProgram program_;
  os::UniqueFd self_;             // pidfd of this process
  std::uint64_t start_time_ = 0;  // of this process
  std::optional<os::LivenessPipe> liveness_pipe_;
  std::vector<identity::LoadedModule> modules_;
  std::vector<int> usable_cpus_;
  os::Memfd preload_;  // the registration of the call; empty: there is none
};

}  // namespace procpool::inline v0_1::parent
