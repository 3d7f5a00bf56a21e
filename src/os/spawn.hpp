// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Making a worker process: posix_spawn of a program image that is already open, so that the file
// may be renamed, replaced or deleted. Safe beside other threads, with the one exception that every
// program has: a setenv in another thread races with the copy of the environment.
//
// The calling thread should live longest, because a child may ask to die with the thread that made
// it. If this process crashes, the watchdog of the child ends the child. If a call throws, there is
// no child.

#include <sys/types.h>

#include <string>
#include <vector>

#include "os/fd.hpp"

namespace procpool::inline v0_1::os {

// The numbers of the child's descriptors. 0 is the null device; 1 and 2 are those of the parent, or
// the null device if the parent has none, or `output`. Nothing else is open.
inline constexpr int child_control_fd = 3;
inline constexpr int child_image_fd = 4;

struct SpawnRequest {
  int image = -1;                                    // an open executable
  int control = -1;                                  // the child's end of the control socket
  std::vector<std::string> arguments;                // argv, the name of the program first
  std::vector<std::string> environment_additions{};  // "NAME=value", ahead of the parent's own
  // All variables, see copy_environment(); none: those of this process at that time.
  std::vector<std::string> environment{};
  int output = -1;            // becomes the child's 1 and 2
  int error = -1;             // becomes the child's 2
  bool drops_output = false;  // 1 and 2 become the null device
  int blocked = 0;            // a signal that the child is to begin with blocked; 0: none
};

struct Child {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// The child leads a process group of its own. It starts with every signal at its default, and with
// no signal blocked but `blocked`. Throws if the child could not be started, if it has died and was
// reaped elsewhere at once, and if it would have other rights than this process.
Child spawn(SpawnRequest const& request);

// /dev/null, for reading and writing.
UniqueFd open_null_device();

// The program that runs in this process, open for spawn().
UniqueFd open_own_image();

// The environment of this process. No thread may change it meanwhile, as for getenv: this is for
// calls of the program, whose own rules hold then.
std::vector<std::string> copy_environment();

}  // namespace procpool::inline v0_1::os
