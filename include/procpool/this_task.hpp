#pragma once

// this_task: what a task can ask about itself while it runs, on its own thread and on threads that it has
// started. With Start::in_process on its own thread only.

#include <cstdint>
#include <random>
#include <stop_token>

#include <procpool/detail/export.hpp>
#include <procpool/entry.hpp>

namespace procpool::inline v0::this_task {

/// Is a task running here?
PROCPOOL_API bool running() noexcept;

/// The index of the element among the inputs of its call; 0 for submit. Throws std::logic_error where no
/// task runs.
PROCPOOL_API std::uint64_t index();

/// The index of the worker in its pool; see procpool::worker_index.
inline int worker_index() noexcept { return v0::worker_index(); }

/// Is the task asked to stop: because its timeout is over, or it was cancelled? One that has called this,
/// or stop_token(), is a task that listens: it is asked first, and ended by force only after
/// PoolOptions::ask_grace. What it returns or throws by then is its outcome, and its worker lives on. A
/// few nanoseconds. False where no task runs.
PROCPOOL_API bool stop_requested() noexcept;

/// The same as a token, for std::condition_variable_any, callbacks and std::jthread's kin. Callbacks run on a
/// thread of the worker's own. Throws std::logic_error where no task runs, and std::system_error when
/// that thread cannot be made.
PROCPOOL_API std::stop_token stop_token();

/// A stream of random numbers of the element's own. It depends on PoolOptions::seed, on how many calls
/// the pool had taken before this one, and on index(): on nothing else, so that it is the same for any
/// number of workers, in whatever order they run, and when the element is run again. Each call gives it
/// from its beginning. Throws std::logic_error where no task runs.
PROCPOOL_API std::mt19937_64 random();

}  // namespace procpool::inline v0::this_task
