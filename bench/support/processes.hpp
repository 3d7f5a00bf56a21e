// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// What /proc says of this process's children: who they are, what CPU and memory they use. Any
// thread.

#include <sys/types.h>

#include <cstdint>
#include <vector>

namespace bench {

std::vector<pid_t> children();

// CPU time so far of all threads of this process and of its children that live, but these, in
// nanoseconds.
std::uint64_t cpu_ns(std::vector<pid_t> const& except = {});

// Bytes that a process has for itself: private pages, and pages of unnamed shared memory (rings).
std::uint64_t own_memory(pid_t pid);

// The bytes for which a process accounts: a page that n processes have counts as an n-th.
std::uint64_t proportional_memory(pid_t pid);

// While one of these lives, every core has a process that uses all it can get.
class BusyCores {
 public:
  // Forks: before there are threads.
  BusyCores();
  BusyCores(BusyCores const&) = delete;
  BusyCores& operator=(BusyCores const&) = delete;
  ~BusyCores();
  std::vector<pid_t> const& pids() const noexcept { return pids_; }

 private:
  std::vector<pid_t> pids_;
};

}  // namespace bench
