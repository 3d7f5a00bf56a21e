// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The words of a worker that crashes. They lie in the control page of its outbox, behind those of the
// channel. The handler of the fatal signal writes them, in any state of the process. The parent reads
// them once the process is dead. A death at any point leaves the words written until then; `signal`
// is the first, and means that the others are there.
//
// The parent loads each word once and believes nothing, as with all words of the outbox.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "channel/layout.hpp"

namespace procpool::inline v0_1::channel {

inline constexpr std::size_t max_crash_frames = 64;
inline constexpr std::size_t max_crash_modules = 12;

using CrashWord = std::atomic<std::uint64_t>;

// A file from which code of the stack was mapped, as the kernel names it in /proc/self/maps.
struct CrashModule {
  CrashWord device;
  CrashWord inode;
  // The end of its path, in memory order, followed by zeros if there is room for them.
  std::array<CrashWord, 13> path;
};

struct CrashWords {
  CrashWord signal;        // 0: no crash
  CrashWord code;          // si_code, as 32 bits
  CrashWord address;       // si_addr
  CrashWord overflow;      // not 0: probably a stack overflow
  CrashWord other_thread;  // not 0: another thread than the one that runs elements
  CrashWord peak;          // the largest number of resident bytes; 0: not known
  CrashWord frames;        // the number of the following
  CrashWord modules;
  // Innermost first, see crash_frame. The address of a call lies inside its instruction.
  std::array<CrashWord, max_crash_frames> frame;
  std::array<CrashModule, max_crash_modules> module;
};

static_assert(sizeof(OutboxWords) <= crash_offset);
static_assert(crash_offset + sizeof(CrashWords) <= control_bytes);
static_assert(alignof(CrashWords) <= crash_offset && CrashWord::is_always_lock_free);

inline constexpr unsigned crash_frame_bits = 48;
inline constexpr std::uint64_t crash_frame_mask = (std::uint64_t{1} << crash_frame_bits) - 1;

// `module` counts from 1, and `where` is an offset in that file; with 0 it is an address.
constexpr std::uint64_t crash_frame(std::uint64_t module, std::uint64_t where) noexcept {
  return (module << crash_frame_bits) | (where & crash_frame_mask);
}

}  // namespace procpool::inline v0_1::channel
