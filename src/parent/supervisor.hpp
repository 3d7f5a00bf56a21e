// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Supervisor: the loop that runs on the dispatcher's thread. It sleeps in epoll on the descriptors
// of all workers and on the pool's own events. It starts workers when elements wait, replaces those
// that are gone, balances the load, and carries out the end of the pool.
//
// Everything belongs to that thread, and no user code runs on it. The workers, and the fork server,
// are its children, and it outlives them: the parent-death signal of a worker is tied to it.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "engine/patience.hpp"
#include "os/poller.hpp"
#include "parent/cgroup_sweep.hpp"
#include "parent/core.hpp"
#include "parent/fork_server_client.hpp"
#include "parent/idle_policy.hpp"
#include "parent/live_view_writer.hpp"
#include "parent/output_lines.hpp"
#include "parent/spawn_backoff.hpp"
#include "parent/strays.hpp"
#include "parent/worker_launcher.hpp"
#include "parent/worker_proxy.hpp"

namespace procpool::inline v0_1::parent {

class Supervisor {
 public:
  // `environment`: "NAME=value" each, of the workers. Throws std::system_error.
  Supervisor(Core& core, std::vector<std::string> environment, entry::WorkerProgram program);
  Supervisor(Supervisor const&) = delete;
  Supervisor& operator=(Supervisor const&) = delete;

  // Returns when the pool has ended. Called once.
  void run();

 private:
  using TimePoint = Core::TimePoint;

  // Runs one part of the loop. A part that fails for lack of memory is repeated soon.
  template <class Body>
  void attempt(Body&& body) noexcept;
  // Does what is due. Returns how long nothing else will be; nothing: until an event comes.
  std::optional<std::chrono::microseconds> tick(TimePoint now);
  // Without a descriptor for it the pool works and cannot be looked at.
  void make_live_view() noexcept;
  void tick_fork_server(TimePoint now, NextLook& next);
  void start_workers(TimePoint now, NextLook& next);
  // Waits for events and handles them.
  void sleep(std::optional<std::chrono::microseconds> timeout);
  void prepare_sleep();
  void prepare_short_poll();
  std::uint32_t next_sleep() noexcept;
  void handle(os::Ready const& ready);
  void on_fork_server();
  void on_report(ForkServerProcess::Forked forked);
  void on_loss(ForkServerClient::Loss const& loss);
  void look(WorkerProxy& worker) { taken_ += worker.look(); }
  void look_at_everything();
  // Ends a fork server that takes no orders yet, and of which nobody wants a worker.
  void abandon_fork_server();
  // True: no worker is left, and none will be.
  bool advance_end(TimePoint now);
  // The processes that are left are killed already. A process that the kernel holds is not waited
  // for.
  void wait_for_leftovers();

  Core& core_;
  os::Poller poller_;
  WorkerLauncher launcher_;
  ForkServerClient fork_server_;
  CgroupSweep cgroups_;
  Strays strays_;
  SpawnBackoff backoff_;
  LineSink lines_;
  WorkerServices services_;
  std::optional<LiveViewWriter> live_view_;
  std::deque<WorkerProxy> workers_;
  std::size_t wanted_;  // workers, at the last tick
  std::uint32_t sleep_number_ = 0;
  detail::Reserve reserve_;  // of the thread
  std::size_t taken_ = 0;    // outcomes, or blocks of them, since the last sleep
  IdlePolicy::Sleep sleep_ = IdlePolicy::Sleep::watching;  // the next one
  bool out_of_memory_ = false;  // a part of the loop failed since the last tick
  bool killing_begun_ = false;
  bool cancelling_begun_ = false;
};

}  // namespace procpool::inline v0_1::parent
