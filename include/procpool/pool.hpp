// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ProcessPool: runs functions in worker processes. All members may be called from any thread, at
// the same time; moving, assigning and destroying are for one thread that has the pool to itself.
// All others throw std::logic_error if it was moved from, and SetupError in a forked child of the
// process that made it.

#include <chrono>
#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/actor.hpp>
#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/nest.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/operations/caller.hpp>
#include <procpool/detail/operations/operations.hpp>
#include <procpool/detail/operations/slice_operations.hpp>
#include <procpool/detail/operations/stream_operations.hpp>
#include <procpool/detail/operations/worker_operations.hpp>
#include <procpool/errors.hpp>
#include <procpool/future.hpp>
#include <procpool/options.hpp>
#include <procpool/shared.hpp>

namespace procpool::inline v0_1 {

class OutcomeView;

/// A pool with options for the calls made through it: pool.with({.chunk = 64}).map<f>(xs). When the
/// pool is gone, its operations throw PoolClosed.
class PROCPOOL_API PoolView : public detail::Operations<PoolView>,
                              public detail::StreamOperations<PoolView>,
                              public detail::SliceOperations<PoolView>,
                              public detail::WorkerOperations<PoolView> {
 public:
  /// The same operations with these options too. An option that both have is the later one.
  PoolView with(CallOptions const& options) const;

  /// The same operations, but each gives an Outcome<R> where it gave an R.
  OutcomeView outcomes() const;

 private:
  friend class ProcessPool;
  friend OutcomeView;
  friend detail::Operations<PoolView>;
  friend detail::StreamOperations<PoolView>;
  friend detail::SliceOperations<PoolView>;
  friend detail::WorkerOperations<PoolView>;
  friend detail::ContextAccess;

  PoolView(std::shared_ptr<detail::Engine> engine,
           std::shared_ptr<detail::CallContext const> context, CallOptions const& defaults,
           CallOptions const& given);

  detail::Caller make_caller(unsigned used, char const* operation) const;

  std::shared_ptr<detail::Engine> engine_;
  std::shared_ptr<detail::CallContext const> context_;
  CallOptions given_;
  CallOptions effective_;
};

namespace detail {
struct EngineAccess;
}

/// A pool whose operations say of each element what became of it: pool.outcomes().map<f>(xs) gives a
/// std::vector<Outcome<R>>, imap a range of Outcome<R>, submit a Future<Outcome<R>>, call an
/// Outcome<R>. All elements are run, and no failure of an element is thrown. What the operation itself
/// throws passes: PoolClosed, the exceptions of encoding and of the inputs. CallOptions::on_error is
/// refused. When the pool is gone, the operations throw PoolClosed.
class PROCPOOL_API OutcomeView : public detail::Operations<OutcomeView, Outcome>,
                                 public detail::StreamOperations<OutcomeView, Outcome>,
                                 public detail::SliceOperations<OutcomeView, Outcome>,
                                 public detail::WorkerOperations<OutcomeView, Outcome> {
 public:
  /// The same operations with these options too. An option that both have is the later one.
  OutcomeView with(CallOptions const& options) const;

 private:
  friend PoolView;
  friend detail::Operations<OutcomeView, Outcome>;
  friend detail::StreamOperations<OutcomeView, Outcome>;
  friend detail::SliceOperations<OutcomeView, Outcome>;
  friend detail::WorkerOperations<OutcomeView, Outcome>;
  friend detail::ContextAccess;

  explicit OutcomeView(PoolView view) noexcept : view_(std::move(view)) {}

  detail::Caller make_caller(unsigned used, char const* operation) const;

  PoolView view_;
};

/// A pool of worker processes. All members may be called from any thread, at the same time, except
/// moving, assigning and destroying.
class PROCPOOL_API ProcessPool : public detail::Operations<ProcessPool>,
                                 public detail::StreamOperations<ProcessPool>,
                                 public detail::SliceOperations<ProcessPool>,
                                 public detail::WorkerOperations<ProcessPool> {
 public:
  /// One worker per usable CPU. Constructing starts nothing: the first call does.
  ProcessPool();
  /// So many workers. Throws std::invalid_argument unless it is 1 to 4096.
  template <std::integral I>
    requires(!std::same_as<I, bool>)
  explicit ProcessPool(I workers) : ProcessPool(Count(workers)) {}
  /// Throws std::invalid_argument for options that make no sense.
  explicit ProcessPool(PoolOptions options);
  /// The pool that was moved from can only be assigned to and destroyed.
  ProcessPool(ProcessPool&&) noexcept;
  /// Ends the pool that is replaced first, as the destructor does.
  ProcessPool& operator=(ProcessPool&& other) noexcept;

  /// Ends the pool as ShutdownOptions::at_exit says, by default with a drain: every accepted element
  /// is run.
  /// Blocks until every worker is gone and the continuations and callbacks of ended calls have run.
  /// Those that an executor is running count, those that it has still to run do not. After 10 s the
  /// log names the one that it waits for. Called from one of them it does not block for the others,
  /// which run after it. It kills instead if an exception unwinds that was not there when the pool
  /// was made.
  ~ProcessPool();

  /// The same operations with these options. An option that is not given comes from
  /// options.defaults.
  PoolView with(CallOptions const& options) &;
  /// Not of a temporary pool.
  template <class Pool = void>
  PoolView with(CallOptions const&) && {
    static_assert(
        !std::is_void_v<Pool>,
        "procpool: this pool is gone at the end of the expression, and its view would be of "
        "nothing; give the pool a name, and call with() on that");
    std::terminate();
  }

  /// The same operations, but each gives an Outcome<R> where it gave an R: pool.outcomes().map<f>(xs).
  OutcomeView outcomes() &;
  /// Not of a temporary pool.
  template <class Pool = void>
  OutcomeView outcomes() && {
    static_assert(
        !std::is_void_v<Pool>,
        "procpool: this pool is gone at the end of the expression, and its view would be of "
        "nothing; give the pool a name, and call outcomes() on that");
    std::terminate();
  }

  /// Encodes the value once, for all tasks that get the handle or a copy of it, in any pool of this
  /// process; see shared.hpp. Blocks for the encoding only; nothing is sent yet. Any thread. Throws
  /// the exceptions of the encoding, and SetupError if there is no memory, or no descriptor, for a
  /// large value.
  template <class T>
  Shared<std::decay_t<T>> share(T&& value) const {
    engine();
    return detail::share<std::decay_t<T>>(value);
  }

  /// Makes an actor: a T, constructed of copies of these arguments in a process of its own, see
  /// actor.hpp. Does not block for that. Any thread. Throws PoolClosed, SetupError, and the exceptions
  /// of the encoding.
  template <class T, class... Args>
    requires(!detail::begins_with_options<Args...>)
  Actor<T> actor(Args&&... arguments) {
    return actor<T>(ActorOptions(), std::forward<Args>(arguments)...);
  }
  /// With options. Throws std::invalid_argument for options that make no sense.
  template <class T, class... Args>
  Actor<T> actor(ActorOptions const& options, Args&&... arguments) {
    if constexpr (detail::check_actor<T, Args&&...>()) {
      return Actor<T>(engine(), *context_, options_.defaults, options, std::in_place,
                      std::forward<Args>(arguments)...);
    } else {
      std::terminate();  // its sentence was said
    }
  }

  /// Starts workers ahead of the first call: so many, or all. The future is ready when so many are
  /// ready at the same time, with their initializer behind them. It fails with the error of the pool
  /// if they cannot be had. Its cancel() ends the waiting, and workers that are there stay. The end
  /// of the pool cancels it. If resize() makes the pool smaller meanwhile, all of its workers will do.
  /// While it waits, no worker leaves because of `idle_timeout`. Does not block. Any thread. Throws
  /// std::invalid_argument unless the number is 1 to size(), and what submit throws.
  Future<void> start(std::optional<Count> workers = {});

  /// Ends intake: later calls throw PoolClosed. Does not block.
  void close();

  /// close(), and blocks until everything accepted has ended and every worker is gone.
  void join();

  /// As join, but no longer than this. Returns whether all is over. The rest goes on.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> time) {
    return join_until(detail::deadline_after(time));
  }

  /// Kills the workers. Elements that have not ended end with TaskCancelled. Blocks until all
  /// workers are gone.
  Summary terminate();

  /// Ends the pool, and blocks until every worker is gone. Workers that remain after `timeout` are
  /// killed. May be called again, at the same time, and with a stronger end: the
  /// strongest counts.
  Summary shutdown(End end = End::drain, std::optional<Milliseconds> timeout = std::nullopt);

  /// Sets the number of workers, 1 to 4096, in place of PoolOptions::workers. Does not block.
  /// Further workers start when there is work for them. Surplus workers end what they run and
  /// leave; elements that they had not begun go to others. Throws std::invalid_argument for another
  /// number.
  void resize(Count workers);

  /// No element begins any more, until resume(). Calls are accepted, and wait. Elements that run go
  /// on to their ends; those that workers have been given and not begun wait with the others. An
  /// element that its worker begins at this very moment counts as begun. Time limits for waiting
  /// (CallOptions::queue_timeout) run on, and so do calls of actors and processes. The end of the
  /// pool, by join(), shutdown() or its destructor, resumes it. Blocks for some microseconds, until
  /// no thread is about to give an element to a worker. Without effect on a pool that is paused or
  /// ending. Any thread. Throws std::logic_error with Start::in_process.
  void pause();
  /// Elements begin again. Without effect on a pool that is not paused. Any thread.
  void resume();

  /// PoolOptions::name.
  std::string const& name() const;

  /// The number of workers when all are needed.
  unsigned size() const;

  /// Counters, consistent among themselves. Does not block.
  Stats stats() const;

  /// The counters of each place for a worker. Does not block.
  std::vector<WorkerStats> worker_stats() const;

 private:
  friend detail::Operations<ProcessPool>;
  friend detail::StreamOperations<ProcessPool>;
  friend detail::SliceOperations<ProcessPool>;
  friend detail::WorkerOperations<ProcessPool>;
  friend detail::ContextAccess;
  friend struct detail::EngineAccess;

  explicit ProcessPool(Count workers);
  ProcessPool(std::unique_ptr<detail::Engine> engine, PoolOptions options);
  ProcessPool(PoolOptions options, std::shared_ptr<detail::Callbacks> callbacks);
  ProcessPool(std::shared_ptr<detail::Engine> engine, PoolOptions options,
              std::shared_ptr<detail::Callbacks> callbacks);

  detail::Engine& engine() const;
  detail::Caller make_caller(unsigned used, char const* operation) const;
  bool join_until(std::optional<detail::TimePoint> deadline);
  void end() noexcept;

  std::shared_ptr<detail::Engine> engine_;
  std::shared_ptr<detail::CallContext const> context_;
  PoolOptions options_;
  int exceptions_ = std::uncaught_exceptions();  // when the pool was made
};

namespace detail {

// For tests of the public API: a pool over another engine.
struct EngineAccess {
  static ProcessPool pool_over(std::unique_ptr<Engine> engine, PoolOptions options = {}) {
    return {std::move(engine), std::move(options)};
  }
};

}  // namespace detail

}  // namespace procpool::inline v0_1
