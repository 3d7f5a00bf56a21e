// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The worker mark: it tells a fresh execution of the program that a pool has started it, and in
// which role. It comes in the environment, and is removed from there before any code of the program
// runs. If main is wrapped, that is before the constructors of the program and of its libraries;
// otherwise before the constructors of the objects that are linked with the core.
//
// Threat model: anybody can set a variable and open a descriptor, so neither gives a right. In a
// process with more rights than its caller (AT_SECURE) the mark means nothing. In any other
// process, the other end of the control socket must have been made by the parent of the process,
// under the user that the process acts for. Otherwise nothing is read from the socket, and the
// process ends.
//
// The main thread only, except mark(). A crash leaves nothing.

#include <procpool/detail/export.hpp>

// Removes the mark from these variables, in place, and remembers it. Checks its origin, and ends
// with the parent from then on. Without a mark it does nothing, so that it may be called again.
// Ends the process if the mark is not from its parent. Needs no initialiser.
extern "C" PROCPOOL_API void procpool_take_mark(char** environment) noexcept;

namespace procpool::inline v0_1::entry {

enum class Mark : char { none = 0, worker = 2, fork_server_process = 4 };

// The role that this process is to take. None: it is the program, or has taken its role.
Mark mark() noexcept;

// The process has taken the role of the mark. Ends a process that was forked from the marked one.
void forget_mark() noexcept;

// True for a program with more rights than its caller: set-uid, set-gid, or capabilities of its
// file.
bool has_more_rights() noexcept;

}  // namespace procpool::inline v0_1::entry
