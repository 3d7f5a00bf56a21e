#pragma once

// ProcessPool: runs functions in worker processes. All members may be called from any thread, at the same
// time; moving, assigning and destroying are for one thread that has the pool to itself. All others throw
// std::logic_error if it was moved from, and SetupError in a forked child of the process that made it.

#include <chrono>
#include <concepts>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/nest.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/operations/caller.hpp>
#include <procpool/detail/operations/operations.hpp>
#include <procpool/detail/operations/slice_operations.hpp>
#include <procpool/detail/operations/stream_operations.hpp>
#include <procpool/errors.hpp>
#include <procpool/options.hpp>
#include <procpool/shared.hpp>

namespace procpool::inline v0 {

/// A pool with options for the calls made through it: pool.with({.chunk = 64}).map<f>(xs). When the pool is
/// gone, its verbs throw PoolClosed.
class PoolView : public detail::Operations<PoolView>,
                 public detail::StreamOperations<PoolView>,
                 public detail::SliceOperations<PoolView> {
 public:
  /// For ProcessPool::with.
  PoolView(std::shared_ptr<detail::Engine> engine,
           std::shared_ptr<detail::CallContext const> context, CallOptions const& defaults,
           CallOptions const& given)
      : engine_(std::move(engine)),
        context_(std::move(context)),
        given_(given),
        effective_(detail::merge_options(defaults, given)) {
    detail::check_options(given);
    auto own = std::make_shared<detail::CallContext>(*context_);
    if (given.executor) own->executor = given.executor;
    own->control = detail::control_of(effective_);
    context_ = std::move(own);
  }

 private:
  friend detail::Operations<PoolView>;
  friend detail::StreamOperations<PoolView>;
  friend detail::SliceOperations<PoolView>;
  friend detail::ContextAccess;

  detail::Caller make_caller(unsigned used, char const* verb) const {
    if (!engine_) throw std::logic_error("procpool: this view of a pool was moved from");
    detail::check_process(*context_);
    detail::refuse_unused(given_, used, verb);
    return {engine_, context_, effective_};
  }

  std::shared_ptr<detail::Engine> engine_;
  std::shared_ptr<detail::CallContext const> context_;
  CallOptions given_;
  CallOptions effective_;
};

class ProcessPool : public detail::Operations<ProcessPool>,
                    public detail::StreamOperations<ProcessPool>,
                    public detail::SliceOperations<ProcessPool> {
 public:
  /// One worker per usable CPU. Constructing starts nothing: the first call does.
  ProcessPool() : ProcessPool(PoolOptions{}) {}
  /// So many workers. Throws std::invalid_argument unless it is 1 to 4096.
  template <std::integral I>
    requires(!std::same_as<I, bool>)
  explicit ProcessPool(I workers) : ProcessPool(PoolOptions{.workers = workers}) {}
  /// Throws std::invalid_argument for options that make no sense.
  explicit ProcessPool(PoolOptions options) : ProcessPool(detail::make_engine(options), options) {}
  /// For tests of the face: a pool over an engine of one's own.
  explicit ProcessPool(std::unique_ptr<detail::Engine> engine, PoolOptions options = {})
      : engine_(std::move(engine)),
        context_(std::make_shared<detail::CallContext const>(detail::CallContext{
            engine_, std::make_shared<detail::Callbacks>(options.log, options.name),
            options.defaults.executor, detail::control_of(options.defaults), options.exceptions})),
        options_(std::move(options)) {}

  ProcessPool(ProcessPool&&) noexcept = default;
  ProcessPool& operator=(ProcessPool&& other) noexcept {
    if (this != &other) {
      end();
      engine_ = std::move(other.engine_);
      context_ = std::move(other.context_);
      options_ = std::move(other.options_);
      exceptions_ = other.exceptions_;
    }
    return *this;
  }

  /// Ends the pool as options.at_exit says, by default with a drain: everything accepted is run. Blocks
  /// until every worker is gone and continuations and callbacks of what has ended have run, which includes
  /// what an executor is running, but not what it has still to run; after 10 s the log says which one it
  /// waits for. In one of them itself it does not block for the others, which run after it. While an exception unwinds that was
  /// not there at construction it kills instead.
  ~ProcessPool() { end(); }

  /// The same verbs with these options; what is not given comes from options.defaults.
  PoolView with(CallOptions const& options) & {
    engine();
    return {engine_, context_, options_.defaults, options};
  }
  /// Not of a temporary pool.
  template <class Pool = void>
  PoolView with(CallOptions const&) && {
    static_assert(
        !std::is_void_v<Pool>,
        "procpool: this pool is gone at the end of the expression, and its view would be of "
        "nothing; give the pool a name, and call with() on that");
    std::terminate();
  }

  /// Encodes the value, once for all tasks that will be given the handle or a copy of it, in whatever
  /// pool of this process; see shared.hpp. Blocks for the encoding only; nothing is sent yet. Any thread.
  /// Throws what the encoding throws, and SetupError when there is no memory, or no descriptor, for a large value.
  template <class T>
  Shared<std::decay_t<T>> share(T&& value) const {
    engine();
    return detail::share<std::decay_t<T>>(value);
  }

  /// Ends intake: later calls throw PoolClosed. Does not block.
  void close() {
    detail::go_on_with_postponed();
    engine().close();
  }

  /// close, and blocks until everything accepted has ended and every worker is gone.
  void join() {
    detail::go_on_with_postponed();
    engine().join_until(std::nullopt);
  }

  /// As join, but no longer than this; says whether all is over. What is not goes on.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> time) {
    detail::go_on_with_postponed();
    return engine().join_until(detail::deadline_after(time));
  }

  /// Kills the workers; what has not ended ends with TaskCancelled. Blocks until they are gone.
  Summary terminate() { return shutdown(End::kill); }

  /// Ends the pool; blocks until every worker is gone. At the deadline, from now, what is left is
  /// killed. May be called again, at the same time, and with a stronger end: the strongest counts.
  Summary shutdown(End end = End::drain, std::optional<Milliseconds> deadline = std::nullopt) {
    detail::go_on_with_postponed();
    return engine().shutdown(end, deadline ? detail::deadline_after(*deadline) : std::nullopt);
  }

  /// Sets how many workers it has, 1 to 4096, whatever it was made with; throws std::invalid_argument.
  /// Does not block: more of them start when there is something for them to do, those that are too many
  /// end what they run and leave; what they had not begun goes to others.
  void resize(Count workers) { engine().resize(workers.checked("workers", max_workers)); }

  /// How many workers it has when all are wanted.
  unsigned size() const { return engine().size(); }

  /// Counters, consistent among themselves.
  Stats stats() const { return engine().stats(); }

  /// What happened at each of its places for workers.
  std::vector<WorkerStats> worker_stats() const { return engine().worker_stats(); }

 private:
  friend detail::Operations<ProcessPool>;
  friend detail::StreamOperations<ProcessPool>;
  friend detail::SliceOperations<ProcessPool>;
  friend detail::ContextAccess;

  detail::Engine& engine() const {
    if (!engine_) throw std::logic_error("procpool: this pool was moved from");
    detail::check_process(*context_);
    return *engine_;
  }

  detail::Caller make_caller(unsigned, char const*) const {
    engine();
    return {engine_, context_, options_.defaults};
  }

  void end() noexcept {
    if (!engine_) return;
    if (context_->callbacks->forked()) {  // all of it is elsewhere
      engine_.reset();
      return;
    }
    try {
      bool const unwinding = std::uncaught_exceptions() > exceptions_;
      shutdown(unwinding ? End::kill : options_.at_exit, options_.at_exit_deadline);
    } catch (...) {  // no memory or no thread to wait with: the engine's own end kills
    }
    // While the engine is still there: a callback that uses the pool meanwhile gets PoolClosed.
    context_->callbacks->retire();
    engine_.reset();
  }

  std::shared_ptr<detail::Engine> engine_;
  std::shared_ptr<detail::CallContext const> context_;
  PoolOptions options_;
  int exceptions_ = std::uncaught_exceptions();
};

}  // namespace procpool::inline v0
