#pragma once

// What each forked worker would do for the first time in its life, done once in the process that it is forked
// from. The functions of other libraries that it comes to are bound by then; bound lazily, each of them is
// looked up through the tables of all libraries, in pages that every worker would have to map first. Only a
// matter of speed.
//
// Called by the template process, on its only thread, before the first fork.

namespace procpool::inline v0::forkserver {

void prebind() noexcept;

}  // namespace procpool::inline v0::forkserver
