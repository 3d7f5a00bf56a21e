#pragma once

// What a crashed worker can still ask the system about itself: which files its code was mapped from, how
// large it was. For the handler of the signal alone: only system calls, and buffers that are there from
// the start. Nothing of the process' own is believed, not even the loader's list of modules.

#include <cstdint>
#include <span>

#include "channel/crash_words.hpp"

namespace procpool::inline v0::worker {

// Writes the frames at these addresses, and the modules that they are in. True: the first of them is in
// executable memory.
bool name_in_modules(channel::CrashWords& words,
                     std::span<std::uintptr_t const> addresses) noexcept;

// Bytes that were resident at most. 0: the system does not say.
std::uint64_t peak_of_this_process() noexcept;

}  // namespace procpool::inline v0::worker
