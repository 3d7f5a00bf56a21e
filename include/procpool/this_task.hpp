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

/// The same as a token, for std::condition_variable_any, callbacks and std::jthread. Callbacks run on a
/// thread of the worker's own. Throws std::logic_error where no task runs, and std::system_error when
/// that thread cannot be made.
PROCPOOL_API std::stop_token stop_token();

/// The stream of random numbers of what runs, as a std::uniform_random_bit_generator of 64 bits
/// (std::mt19937_64). It refers to the stream and holds none of it: whoever draws goes on where the last one
/// was, through whatever object, so nothing repeats within a task. May be copied and kept; outside of a
/// task it throws std::logic_error. Threads of a task draw from the same stream, in turn.
class PROCPOOL_API RandomStream {
 public:
  using result_type = std::mt19937_64::result_type;
  static constexpr result_type min() noexcept { return std::mt19937_64::min(); }
  static constexpr result_type max() noexcept { return std::mt19937_64::max(); }

  /// The next number: some 10 ns, and a microsecond for the first of each stream.
  result_type operator()();

  /// An engine of one's own, seeded with the next numbers of the stream: for tight loops, and one for each
  /// thread.
  operator std::
      mt19937_64();  // NOLINT(google-explicit-constructor): auto engine = std::mt19937_64{...}
};

/// The stream of the element that runs. It depends on PoolOptions::seed, on CallOptions::stream or else how
/// many calls the pool had taken before this one, and on index(): on nothing else. So it is the same for any
/// number of workers and any chunks, in whatever order they run, and when the element is run again. In
/// parallelize_reduce each index has a stream of its own, which for the same call is that of an element of
/// map at the same index. In parallelize it is the slice's, which depends on how the range is cut: what
/// shall not, draws from random(i). Throws std::logic_error where no task runs.
PROCPOOL_API RandomStream random();

/// A stream from its beginning, as an engine of one's own. In parallelize: that of the i-th element of the
/// slice, the same for any number of workers and slices. Elsewhere: the i-th of the streams that the
/// element has beside random(), one for each of its threads, say. Throws std::logic_error where no
/// task runs.
PROCPOOL_API std::mt19937_64 random(std::uint64_t i);

}  // namespace procpool::inline v0::this_task
