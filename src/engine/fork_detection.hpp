// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The number of forks between the start of the program and this process. Threads, sockets and
// workers of a pool stay with the process that made them. In a forked child of the program, each
// object of a pool compares this number with the one at its creation, and is inert if they differ.
// Any thread.

namespace procpool::inline v0_1 {

unsigned fork_count() noexcept;

// True if this process was forked since fork_count() returned `before`.
inline bool forked_since(unsigned before) noexcept { return fork_count() != before; }

// For a process that was forked to be a worker: the objects of static initialisation belong to it.
void forget_forks() noexcept;

}  // namespace procpool::inline v0_1
