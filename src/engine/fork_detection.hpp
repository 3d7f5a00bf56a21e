#pragma once

// How many forks lie between this process and the program's start. What belongs to a pool (threads,
// sockets, workers) stays with the process that made it; in a forked child of the program every pool
// object compares this count with the one it was born with, and is inert when they differ.
//
// May be called from any thread.

namespace procpool::inline v0 {

unsigned fork_count() noexcept;

// Has the current process been forked since `born`?
inline bool forked_since(unsigned born) noexcept { return fork_count() != born; }

// For a process that was forked to be a worker: what static initialisation has made belongs to it.
void forget_forks() noexcept;

}  // namespace procpool::inline v0
