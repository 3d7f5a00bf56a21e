#pragma once

// The worker mark: what tells a fresh execution of the program that a pool has started it, and as what. It comes
// in the environment, and is taken off that before anything of the program runs: before its constructors and those
// of its libraries where main is wrapped, else before the constructors of what is linked with the core.
//
// Threat model: anybody can set a variable and open a descriptor, so neither gives a right. In a process that has
// more rights than its caller (AT_SECURE) the mark means nothing. In any other the control socket must be one
// whose other end was made by this process's parent, under the user that this process acts for; else nothing that
// comes by it is read, and the process ends.
//
// The main thread only, but for mark(). A crash leaves nothing.

#include <procpool/detail/export.hpp>

// Takes the mark off these variables, in place, and remembers it; checks whose it is, and follows the parent from
// then on. Nothing happens where there is none, so it may be called again. Ends the process when the mark is not
// from its parent. Needs no initialiser to have run.
extern "C" PROCPOOL_API void procpool_take_mark(char** environment) noexcept;

namespace procpool::inline v0::entry {

enum class Mark : char { none = 0, worker = 2, fork_server_process = 4 };

// What this process is to become. None: it is the program, or has become it.
Mark mark() noexcept;

// It has become what the mark says. Ends a process that was only forked from the one which had the mark.
void forget_mark() noexcept;

// A program with more rights than whoever started it: set-uid, set-gid, or with capabilities of its file.
bool has_more_rights() noexcept;

}  // namespace procpool::inline v0::entry
