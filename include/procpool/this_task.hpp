// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// this_task: questions of a running task about itself, on its own thread and on threads that it has
// started. With Start::in_process on its own thread only. Nothing here blocks.

#include <cstdint>
#include <random>
#include <stop_token>
#include <string_view>

#include <procpool/detail/export.hpp>
#include <procpool/entry.hpp>

namespace procpool::inline v0_1::this_task {

/// True if a task is running here.
PROCPOOL_API bool running() noexcept;

/// The index of the element among the inputs of its call; 0 for submit. Throws std::logic_error if
/// no task runs.
PROCPOOL_API std::uint64_t index();

/// The index of the worker in its pool; see procpool::worker_index.
inline int worker_index() noexcept { return v0_1::worker_index(); }

/// The machine of the worker, as in WorkerStats::host, if its pool has workers on several. Else empty.
/// Valid until the worker ends.
PROCPOOL_API std::string_view host() noexcept;

/// True if the task is asked to stop, because its timeout is over or it was cancelled. A task that
/// has called this, or stop_token(), is a task that listens: it is asked first, and ended by force
/// only after ShutdownOptions::ask_grace. Its result or exception by then is its outcome, and its
/// worker lives on. Takes a few nanoseconds. False if no task runs.
PROCPOOL_API bool stop_requested() noexcept;

/// The same as a token, for std::condition_variable_any, callbacks and std::jthread. Callbacks run
/// on a thread of the worker. Throws std::logic_error if no task runs, and std::system_error if
/// that thread cannot be made.
PROCPOOL_API std::stop_token stop_token();

/// Tells how far the task has come: so many steps of `total`, or of an unknown number (0). The unit
/// is the task's own. Takes a few nanoseconds, and sends nothing: the program reads the numbers when
/// it asks for them, by Future::progress, Results::progress or ProcessPool::worker_stats. Any thread
/// of the task. Without effect if no task runs here, and with Start::in_process.
PROCPOOL_API void progress(std::uint64_t done, std::uint64_t total = 0) noexcept;

/// The stream of random numbers of the running element, as a std::uniform_random_bit_generator of
/// 64 bits (std::mt19937_64). The object only refers to the stream. Each draw, through any object,
/// gives the next number, so nothing repeats within a task. May be copied and kept. Throws
/// std::logic_error outside of a task. Threads of a task draw from the same stream, in turn.
class PROCPOOL_API RandomStream {
 public:
  /// As of std::mt19937_64, and min() and max() likewise.
  using result_type = std::mt19937_64::result_type;
  /// The smallest number.
  static constexpr result_type min() noexcept { return std::mt19937_64::min(); }
  /// The largest number.
  static constexpr result_type max() noexcept { return std::mt19937_64::max(); }

  /// The next number. Takes some 10 ns, and a microsecond for the first of each stream.
  result_type operator()();

  /// A separate engine, seeded with the next numbers of the stream: for tight loops, or for each
  /// thread.
  operator std::
      mt19937_64();  // NOLINT(google-explicit-constructor): auto engine = std::mt19937_64{...}
};

/// The stream of the running element. It depends only on PoolOptions::seed, on index(), and on
/// CallOptions::stream or else the number of calls that the pool had taken before this one. So it
/// is the same for any number of workers, any chunks and any order, and when the element is run
/// again. In parallelize_reduce each index has its own stream, the same as an element of map at
/// that index in the same call. In parallelize the stream belongs to the slice, and depends on the
/// cuts of the range; random(i) does not. Throws std::logic_error if no task runs.
PROCPOOL_API RandomStream random();

/// A stream from its beginning, as a separate engine. In parallelize: the stream of the i-th
/// element of the slice, the same for any number of workers and slices. Elsewhere: the i-th of the
/// further streams of the element, for example one for each of its threads. Throws std::logic_error
/// if no task runs.
PROCPOOL_API std::mt19937_64 random(std::uint64_t i);

}  // namespace procpool::inline v0_1::this_task
