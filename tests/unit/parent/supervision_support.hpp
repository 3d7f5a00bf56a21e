// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The parts of a supervisor without its loop and thread, and children to supervise.

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <procpool/options.hpp>

#include "os/poller.hpp"
#include "os/process.hpp"
#include "os/socket.hpp"
#include "os/spawn.hpp"
#include "parent/worker_services.hpp"
#include "support/processes.hpp"
#include "support/scripted_process.hpp"
#include "support/until.hpp"

namespace procpool::parent {

struct Supervision {
  // `script`: of each process that the launcher starts. Empty: they are real.
  explicit Supervision(PoolOptions options = {}, std::string const& script = {})
      : core(completed(std::move(options))), launcher(core, environment(script)) {}

  bool logged(std::string const& part) const {
    for (std::string const& line : log) {
      if (line.find(part) != std::string::npos) return true;
    }
    return false;
  }

  // Keys that are ready now or soon.
  std::vector<std::uint64_t> events(std::chrono::milliseconds limit = std::chrono::seconds(20)) {
    std::array<os::Ready, 16> ready{};
    std::size_t const count = poller.wait(ready, limit);
    std::vector<std::uint64_t> keys;
    for (std::size_t i = 0; i < count; ++i) keys.push_back(ready[i].key);
    return keys;
  }

  std::vector<std::string> log;
  Core core;
  os::Poller poller;
  WorkerLauncher launcher;
  ForkServerClient fork_server{core, poller, launcher};
  CgroupSweep cgroups;
  Strays strays{core, poller, fork_server, cgroups};
  SpawnBackoff backoff;
  LineSink lines;
  WorkerServices services{core, poller, launcher, fork_server, strays, cgroups, backoff, lines};

 private:
  PoolOptions completed(PoolOptions options) {
    options.name = "test";
    options.workers = 1;
    options.log = [this](std::string_view line) { log.emplace_back(line); };
    return options;
  }
  static std::vector<std::string> environment(std::string const& script) {
    auto all = os::copy_environment();
    if (!script.empty()) {
      all.emplace_back(support::script_variable);
      (all.back() += '=') += script;
    }
    return all;
  }
};

inline PoolOptions with_grace(std::chrono::milliseconds stop_grace) {
  PoolOptions options;
  options.shutdown.stop_grace = stop_grace;
  return options;
}

// A child that leads a group of its own and has executed `body`. Then it waits for its death.
inline os::Child child_that(std::function<void()> const& body) {
  auto [ours, theirs] = os::socket_pair();
  pid_t const pid = ::fork();
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::setpgid(0, 0);
    ours.reset();
    body();
    theirs.reset();  // the parent goes on
    for (;;) ::pause();
  }
  theirs.reset();
  os::Child child{pid, os::open_pidfd(pid)};
  pollfd begun{ours.get(), POLLIN, 0};
  ::poll(&begun, 1, 20'000);
  return child;
}

inline void ignore_sigterm() { ::signal(SIGTERM, SIG_IGN); }

}  // namespace procpool::parent
