// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

#include <string>

#include "os/fd.hpp"
#include "os/process.hpp"

namespace procpool::inline v0_1::worker {

struct WorkerStart {
  os::UniqueFd control;
  char* argument = nullptr;   // null, or the argument that shows what the process does
  std::string title{};        // of a forked worker: the beginning of that argument
  bool forked = false;        // by the fork server; else the worker is a child of the parent
  os::MemoryUse preloaded{};  // the part of its memory that its fork server had loaded
};

// The main function of a worker: a fresh execution of the program, or a fork of the fork server.
// Answers the parent's greeting, runs elements until the parent needs it no more, and returns the
// exit status. On the main thread, after the worker mark was removed from the environment.
int worker_main(WorkerStart start);

}  // namespace procpool::inline v0_1::worker
