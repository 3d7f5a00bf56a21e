#pragma once

// The worker: what a fresh execution of the program does instead of the program's main.

namespace procpool::inline v0::local {

// Greets the parent, runs elements until the parent needs it no more, and returns the exit status. On
// the main thread, with the worker mark already off the environment. `title`: null, or the argument that
// names the worker, see ProcessTitle.
int worker_main(char* title);

}  // namespace procpool::inline v0::local
