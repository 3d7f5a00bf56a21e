// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The identity of the calling thread. Any thread. It is found once for each thread, and anew in a
// forked child.

#include <cstdint>

namespace procpool::inline v0_1::os {

struct ThreadId {
  // In the kernel: no other living thread of the system has it. A later thread may get it.
  std::uint32_t number = 0;
  // In this process and its forked children: no other thread ever has it. Never 0.
  std::uint64_t serial = 0;
};

ThreadId const& this_thread_id() noexcept;

}  // namespace procpool::inline v0_1::os
