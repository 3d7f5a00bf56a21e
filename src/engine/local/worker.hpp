#pragma once

// The worker: what a fresh execution of the program does instead of the program's main.

namespace procpool::inline v0::local {

// Greets the parent, runs elements until the parent needs it no more, and returns the exit status. On
// the main thread, with the worker mark already off the environment.
int worker_main();

}  // namespace procpool::inline v0::local
