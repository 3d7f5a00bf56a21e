// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The questions that a crashed worker can still ask the system: the files from which its code was
// mapped, and its size. For the signal handler alone: only system calls, and static buffers.
// Nothing in the memory of the process is trusted, not even the loader's list of modules.

#include <cstdint>
#include <span>

#include "channel/crash_words.hpp"

namespace procpool::inline v0_1::worker {

// Writes the frames at these addresses, and their modules. True: the first one is in executable
// memory.
bool name_in_modules(channel::CrashWords& words,
                     std::span<std::uintptr_t const> addresses) noexcept;

// The largest number of resident bytes. 0: unknown.
std::uint64_t peak_of_this_process() noexcept;

}  // namespace procpool::inline v0_1::worker
