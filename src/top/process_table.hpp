// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// What /proc tells of processes. One thread.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace procpool::inline v0_1::top {

struct Usage {
  std::chrono::nanoseconds processor{};  // time, of all threads
  std::uint64_t resident = 0;            // bytes
};

// Nothing: the process is gone.
std::optional<Usage> usage_of(pid_t pid);
// The name of its program. Empty: the process is gone.
std::string program_of(pid_t pid);
// The number by which the process knows itself, in its own PID namespace. 0: the process is gone.
pid_t own_number_of(pid_t pid);
// It has ended, and nobody has waited for it yet.
bool is_zombie(pid_t pid);
// It is in the PID namespace of this process, so that numbers mean the same.
bool in_our_namespace(pid_t pid);
// All that this user may look into, in order.
std::vector<pid_t> processes();

}  // namespace procpool::inline v0_1::top
