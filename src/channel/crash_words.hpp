#pragma once

// What a worker that crashes leaves about it: words of its own in the control page of its outbox, behind
// those of the channel. Written by the handler of the fatal signal, in whatever state the process is, and
// read by the parent once the process is dead. A death at any point leaves the words that were written
// until then; `signal` is the first and means that the others are there.
//
// They are the worker's word, like all in the outbox: the parent loads each once and believes nothing.

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "channel/layout.hpp"

namespace procpool::inline v0::channel {

inline constexpr std::size_t max_crash_frames = 64;
inline constexpr std::size_t max_crash_modules = 12;

using CrashWord = std::atomic<std::uint64_t>;

// A file that code of the stack was mapped from, as the kernel names it in /proc/self/maps.
struct CrashModule {
  CrashWord device;
  CrashWord inode;
  // The end of its path, in memory order; zeros behind it, unless it is longer than there is room for.
  std::array<CrashWord, 13> path;
};

struct CrashWords {
  CrashWord signal;        // 0: no crash
  CrashWord code;          // si_code, as 32 bits
  CrashWord address;       // si_addr
  CrashWord overflow;      // not 0: the stack's, by the look of it
  CrashWord other_thread;  // not 0: it was not the thread that runs elements
  CrashWord peak;          // bytes resident at most, 0: not known
  CrashWord frames;        // so many of the following
  CrashWord modules;
  // Innermost first: see crash_frame. Of a call the address is one inside of its instruction.
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

}  // namespace procpool::inline v0::channel
