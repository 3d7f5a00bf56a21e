// Making a worker process: posix_spawn of a program image that is already open, so it survives the
// file being renamed, replaced or deleted. Thread-safe next to other threads, with the one
// exception that every program has: a setenv in another thread races with the copy of the
// environment. Call it from the thread that lives longest, because a child may ask to die with the
// thread that made it. A crash of this process leaves the child to its own watch on its parent.
// When a call throws there is no child.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "os/fd.hpp"

namespace procpool::inline v0::os {

// Where the child finds what it gets. 0 is the null device, 1 and 2 are the parent's, or the null
// device where the parent has none, or `output`; nothing else is open.
inline constexpr int child_control_fd = 3;
inline constexpr int child_image_fd = 4;

struct SpawnRequest {
  int image = -1;                                    // an open executable
  int control = -1;                                  // the child's end of the control socket
  std::vector<std::string> arguments;                // argv, the name of the program first
  std::vector<std::string> environment_additions{};  // "NAME=value", ahead of the parent's own
  // All variables, see copy_environment(); none: what this process has at that moment.
  std::vector<std::string> environment{};
  int output = -1;      // becomes the child's 1 and 2
  bool silent = false;  // instead: the null device does
  int blocked = 0;      // a signal that the child is to begin with blocked; 0: none
};

struct Child {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// The child leads a process group of its own, and starts with every signal at its default and none but
// `blocked` blocked. Throws when it could not be started, and also when it has died and was reaped by
// somebody else before we could get hold of it; and when the child would have other rights than this
// process.
Child spawn(SpawnRequest const& request);

// The program that runs in this process, open for spawn().
UniqueFd open_own_image();

// The environment of this process. Nobody may change it meanwhile: like getenv, for a moment at which the
// program's own rules hold.
std::vector<std::string> copy_environment();

}  // namespace procpool::inline v0::os
