// A control group (version 2) for one child and everything that it starts, so that what leaves the child's
// process group ends with it all the same. Any thread; one object belongs to one at a time. A crash of this
// process leaves an empty folder at worst: the child is given the means to end its group, see open_kill(); the next
// pool in the same place removes such folders.
#pragma once

#include <sys/types.h>

#include <string>
#include <utility>

#include "os/fd.hpp"

namespace procpool::inline v0::os {

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
  // Kills all that is in it; they are gone soon.
  void kill() noexcept;
  // Removes the group; false: somebody is still in it.
  bool remove() noexcept;

  // For one that is in it: whoever writes "1" there ends the group. Throws std::system_error.
  UniqueFd open_kill() const;

 private:
  std::string kill_path() const { return path_ + "/cgroup.kill"; }

  std::string path_;
};

// Names of groups begin with this and the pid of the process that made them.
inline constexpr char const* cgroup_prefix = "procpool-";

// Removes the empty groups of processes that are no more.
void sweep_cgroups(std::string const& folder) noexcept;

}  // namespace procpool::inline v0::os
