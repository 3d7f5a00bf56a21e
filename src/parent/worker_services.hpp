// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// WorkerServices: the parts of a supervisor that all its workers share. For the dispatcher's thread
// alone.

#include <exception>
#include <string>

#include "os/poller.hpp"
#include "parent/cgroup_sweep.hpp"
#include "parent/core.hpp"
#include "parent/death_log.hpp"
#include "parent/fork_server_client.hpp"
#include "parent/output_lines.hpp"
#include "parent/spawn_backoff.hpp"
#include "parent/strays.hpp"
#include "parent/worker_launcher.hpp"

namespace procpool::inline v0_1::parent {

struct WorkerServices {
  Core& core;
  os::Poller& poller;
  WorkerLauncher& launcher;
  ForkServerClient& fork_server;
  Strays& strays;
  CgroupSweep& cgroups;
  SpawnBackoff& backoff;
  LineSink& lines;
  DeathLog deaths{core.name, [&core = core](std::string const& line) { core.log(line); }};
  unsigned resumed = 0;  // workers that were found stopped, and continued

  // Counts a failed start, and breaks the pool when further starts are hopeless. `error`: the error
  // of the pool then; null: one that names `reason`.
  void start_failed(std::size_t worker, SpawnBackoff::Failure failure, std::string const& reason,
                    std::exception_ptr const& error = nullptr) noexcept;
};

}  // namespace procpool::inline v0_1::parent
