// Getting rid of descriptors that somebody else has passed to us: to close one may block for as long as it likes
// (a socket that lingers, a terminal that drains, a file of a file system that lives in a process), and who receives
// must not be blocked. Any thread. A crash leaves nothing.
#pragma once

#include "os/fd.hpp"

namespace procpool::inline v0::os {

// Whether it is a file in memory, as memfds are: what is asked of it, and to close it, never blocks. It is told
// without touching the file.
bool is_memory_file(int fd) noexcept;

// Closes it on a thread of its own. Where there is no thread to be had it stays open: one descriptor less is
// better than a program that stands still.
void close_elsewhere(UniqueFd fd) noexcept;

}  // namespace procpool::inline v0::os
