// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A control group (version 2) for one child and all processes that it starts. The group ends
// processes that have left the process group of the child. Any thread; an object belongs to one
// thread at a time. A crash of this process leaves at most an empty folder: the child can end its
// group by open_kill(), and the next pool in the same place removes such folders.

#include <sys/types.h>

#include <string>
#include <utility>

#include "os/fd.hpp"

namespace procpool::inline v0_1::os {

class Cgroup {
 public:
  Cgroup() = default;
  // A new group below this folder. Throws std::system_error.
  Cgroup(std::string const& folder, std::string const& name);
  Cgroup(Cgroup&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  Cgroup& operator=(Cgroup&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~Cgroup();

  explicit operator bool() const noexcept { return !path_.empty(); }

  // Throws std::system_error.
  void add(pid_t pid);
  // Kills all processes in the group. They are gone soon, not at once.
  void kill() noexcept;
  // Removes the group. False: there is still a process in it.
  bool remove() noexcept;

  // For a process in the group, which ends the group by writing "1" there. Throws
  // std::system_error.
  UniqueFd open_kill() const;

 private:
  std::string kill_path() const { return path_ + "/cgroup.kill"; }

  std::string path_;
};

// Names of groups begin with this and the pid of the process that made them.
inline constexpr char const* cgroup_prefix = "procpool-";

// Removes the empty groups of processes that are no more.
void sweep_cgroups(std::string const& folder) noexcept;

}  // namespace procpool::inline v0_1::os
