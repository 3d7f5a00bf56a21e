// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Strays: processes of former workers whose places in the pool are free again. Two kinds exist. An
// *exiting* one has left its loop and runs static destructors; it has a time limit and then gets
// SIGTERM and SIGKILL. An *abandoned* one does not end on SIGKILL, and is only reaped if it ends
// after all. For the dispatcher's thread alone. Nothing here blocks.

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <procpool/detail/engine/deadline.hpp>

#include "os/cgroup.hpp"
#include "os/fd.hpp"
#include "os/poller.hpp"
#include "os/process.hpp"

namespace procpool::inline v0_1::parent {

class CgroupSweep;
class Core;
class ForkServerClient;

// A process that this program, or its fork server, has to reap.
struct ChildProcess {
  pid_t pid = 0;
  os::UniqueFd pidfd{};
  std::uint64_t request_id = 0;  // of its fork; 0: it was spawned
};

class Strays {
 public:
  using TimePoint = detail::TimePoint;

  Strays(Core& core, os::Poller& poller, ForkServerClient& fork_server, CgroupSweep& cgroups);
  Strays(Strays const&) = delete;
  Strays& operator=(Strays const&) = delete;
  ~Strays();

  // `reached`: SIGKILL was delivered. Waits for memory.
  void abandon(ChildProcess child, bool reached);

  // Processes that exit must not become more and more.
  bool full(std::size_t workers) const noexcept;
  // Takes over the exiting process of worker `index`, with its cgroup and copies of its descriptors
  // (`output`: -1 if it has none). False: a descriptor or memory is missing, and nothing was taken.
  bool adopt(std::size_t index, ChildProcess& child, os::Cgroup& cgroup, int control, int output,
             TimePoint deadline);

  // Sends signals that are due and reaps. Returns the time of the next call.
  std::optional<TimePoint> tick(TimePoint now);
  // True: a process is left that will end soon.
  bool reap();
  // Exiting processes are to be killed at the next tick.
  void hurry(TimePoint now) noexcept;
  // The end of the pool waits for these.
  bool any_exiting() const noexcept { return exiting() != 0; }

 private:
  // An exiting process. Its descriptors are kept open: the worker must not believe that the program
  // is gone, or its output unwanted.
  struct Exiting {
    TimePoint deadline;  // for the next signal
    bool terminated = false;
  };
  struct Stray {
    ChildProcess child;
    bool reached = true;
    bool watched = false;
    std::optional<Exiting> exiting{};
    std::optional<TimePoint> status_wanted{};  // since then the fork server cannot be asked
    std::optional<std::size_t> index{};        // of the worker whose exit status is unknown yet
    os::UniqueFd control{};
    os::UniqueFd output{};
    os::Cgroup cgroup{};
  };

  std::size_t exiting() const noexcept;
  void watch(Stray& stray) noexcept;
  bool try_to_reap(Stray& stray);

  Core& core_;
  os::Poller& poller_;
  ForkServerClient& fork_server_;
  CgroupSweep& cgroups_;
  std::vector<Stray> strays_;
};

}  // namespace procpool::inline v0_1::parent
