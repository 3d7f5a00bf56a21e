#pragma once

// The worker: what a fresh execution of the program, or a fork of the template process, does instead of the
// program's main.

#include <string>

#include "os/fd.hpp"

namespace procpool::inline v0::worker {

// What a worker begins with.
struct WorkerStart {
  os::UniqueFd control;
  char* argument = nullptr;  // null, or the one that shows what the process does, see ProcessTitle
  std::string title{};       // of a forked worker: what the argument shall begin with
  bool forked = false;       // by the template process; else it is a child of the parent
};

// Greets the parent, runs elements until the parent needs it no more, and returns the exit status. On
// the main thread, with the worker mark already off the environment.
int worker_main(WorkerStart start);

}  // namespace procpool::inline v0::worker
