// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ForkServerClient: the fork servers of a pool with Start::forkserver, one after another. It starts
// a fork server when a worker is wanted, and passes orders on. It decides when a fork server is
// lost, and whether workers are forked or spawned from then on. Workers that need what the fork
// server preloads are never spawned. For the dispatcher's thread alone. See ForkServerProcess for
// what blocks.
//
// The loss of a fork server ends no worker. Starts that it had not answered fail or are repeated,
// and exits that it had not reported are read from the kernel: that is the caller's part, by
// request id.

#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include "os/poller.hpp"
#include "os/process.hpp"
#include "parent/fork_server_process.hpp"
#include "parent/spawn_backoff.hpp"

namespace procpool::inline v0_1::parent {

class Core;
class WorkerLauncher;

class ForkServerClient {
 public:
  using TimePoint = ForkServerProcess::TimePoint;
  using Order = ForkServerProcess::Order;

  ForkServerClient(Core const& core, os::Poller& poller, WorkerLauncher& launcher);

  // New workers are forked. False: they are spawned.
  bool forks() const noexcept;
  // Starts a fork server if there is none. False: the worker is to be spawned. Throws
  // std::system_error, and SetupError if the worker can be neither forked nor spawned.
  bool prepare();
  // Returns the request id of the worker, or 0 if there is no fork server that can be asked: a Loss
  // then follows by look(). Throws std::system_error when the order is to be repeated later.
  std::uint64_t fork(std::string title, std::span<int const> fds);
  // Orders the exit status of a worker. `nobody`: its fork server is gone, or was asked in vain for
  // a second. `later` stores the time of the first attempt in `since`.
  Order reap(std::uint64_t request_id, std::optional<TimePoint>& since);
  // Enough forks are ordered; an answer will come.
  bool busy() const noexcept { return process_ && process_->busy(); }
  // 0: there is no fork server.
  pid_t pid() const noexcept { return process_ ? process_->pid() : 0; }

  // A fork server is gone.
  struct Loss {
    std::string how;       // "the fork server (pid 4711) was killed by SIGKILL"
    bool came_up = false;  // if not, its loss counts as one failed start
    // Of the start, if it did not come up.
    SpawnBackoff::Failure failure = SpawnBackoff::Failure::start;
    std::exception_ptr error{};  // of the preload; null: of no preload
    unsigned useless_in_a_row = 0;
  };
  using Event = std::variant<ForkServerProcess::Forked, Loss>;
  // The next event after the poller named one of the descriptors. Nothing: no more is there now.
  std::optional<Event> next();
  // A fork server that has not answered in time is ended.
  std::optional<Loss> look(TimePoint now);
  std::optional<TimePoint> deadline() const noexcept;

  void worker_ready() noexcept { spawns_next_ = false; }
  // Ends a fork server that cannot fork. `pending`: forks that it has not answered yet.
  void end_useless(bool pending);
  // There is a fork server, and it takes no orders yet.
  bool starts() const noexcept { return process_ && !process_->came_up(); }
  // Ends the fork server. Blocks for a second at most.
  os::Exit end() noexcept;

 private:
  // `believed`: the process runs the right program, and its loss is no failed start if it had come
  // up. `error`: of the preload.
  Loss lose(std::string const& why, bool believed = true, std::exception_ptr error = nullptr);
  Loss lose_preload(protocol::PreloadReport const& report);
  bool preloads() const noexcept;
  void spawn_from_now_on(std::string const& why);

  Core const& core_;
  os::Poller& poller_;
  WorkerLauncher& launcher_;
  std::optional<ForkServerProcess> process_;
  std::uint64_t last_request_id_ = 0;
  std::uint64_t first_request_id_ = 1;  // of the present process
  bool unreachable_ = false;            // an order did not arrive
  unsigned useless_in_a_row_ = 0;
  bool never_forks_ = false;
  std::string why_never_;
  bool spawns_next_ = false;  // until a worker is ready: the last fork server did not come up
};

}  // namespace procpool::inline v0_1::parent
