// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A control group with little memory, of version 1 or 2, that processes can move themselves into.

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>

namespace support {

class MemoryGroup {
 public:
  explicit MemoryGroup(std::uint64_t bytes) {
    for (bool const second : {true, false}) {
      std::string const parent = mount_point(second);
      if (parent.empty()) continue;
      std::string const folder = parent + "/procpool-test-memory-" + std::to_string(::getpid());
      if (::mkdir(folder.c_str(), 0755) != 0) continue;
      folder_ = folder;
      char const* const limit = second ? "/memory.max" : "/memory.limit_in_bytes";
      // Swap would only delay what is to happen.
      write(folder + "/memory.swap.max", "0");
      if (write(folder + limit, std::to_string(bytes))) return;
      ::rmdir(folder.c_str());
      folder_.clear();
    }
  }
  MemoryGroup(MemoryGroup const&) = delete;
  MemoryGroup& operator=(MemoryGroup const&) = delete;
  // After all that were in it have ended.
  ~MemoryGroup() {
    if (!folder_.empty()) ::rmdir(folder_.c_str());
  }

  // Empty: there can be none here.
  std::string const& folder() const { return folder_; }

  // In the process that is to be in it.
  static bool enter(std::string const& folder) {
    return write(folder + "/cgroup.procs", std::to_string(::getpid()));
  }

 private:
  static bool write(std::string const& path, std::string const& text) {
    std::ofstream file(path);
    file << text << std::flush;
    return static_cast<bool>(file);
  }

  static std::string mount_point(bool second) {
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);) {
      auto const dash = line.find(second ? " - cgroup2 " : " - cgroup ");
      if (dash == std::string::npos) continue;
      if (!second && line.find("memory", dash) == std::string::npos) continue;
      std::istringstream fields(line);
      std::string field;
      for (int i = 0; i < 5; ++i) fields >> field;
      return field;
    }
    return {};
  }

  std::string folder_;
};

}  // namespace support
