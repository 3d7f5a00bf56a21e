// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The meaning of the descriptors that the dispatcher's poller names.

#include <cstddef>
#include <cstdint>

namespace procpool::inline v0_1::parent {

enum What : std::uint64_t {
  what_wake,
  what_exit,
  what_control,
  what_event,
  what_output,
  what_fork_server,
  what_look,
  what_stray,
  what_live_view
};

constexpr std::uint64_t key(What what, std::size_t slot) { return slot << 4 | what; }

constexpr std::size_t slot_of(std::uint64_t key) { return static_cast<std::size_t>(key >> 4); }
constexpr What what_of(std::uint64_t key) { return static_cast<What>(key & 15); }

}  // namespace procpool::inline v0_1::parent
