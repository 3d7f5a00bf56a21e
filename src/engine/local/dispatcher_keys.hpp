#pragma once

// What the dispatcher's descriptors mean when epoll names them.

#include <cstddef>
#include <cstdint>

namespace procpool::inline v0::local {

enum What : std::uint64_t { what_wake, what_exit, what_control, what_event };

constexpr std::uint64_t key(What what, std::size_t slot) { return slot << 2 | what; }

}  // namespace procpool::inline v0::local
