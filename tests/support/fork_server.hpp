// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The fork server of this process's pool with Start::forkserver.

#include <unistd.h>

#include <procpool.hpp>
#include <string>

#include "processes.hpp"

namespace support {

// 0: there is none. Of several, one.
inline pid_t fork_server_pid() {
  for (pid_t const pid : children_of(::getpid())) {
    if (read_text(proc(pid, "cmdline")).find("/forkserver]") != std::string::npos && alive(pid)) {
      return pid;
    }
  }
  return 0;
}

inline procpool::PoolOptions forkserver(int workers) {
  procpool::PoolOptions options;
  options.workers = workers;
  options.start.method = procpool::Start::forkserver;
  return options;
}

}  // namespace support
