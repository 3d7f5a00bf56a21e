#pragma once

// Callbacks: the pool's callback thread, on which everything of the user's runs that is not encoding
// or decoding: continuations, completion callbacks, progress, the resumption of coroutines. It is made
// at first use, runs one after the other in the order of posting, and may be blocked for as long as
// somebody likes: nothing of the pool waits for it but the pool's own end. Beside it, and like it, a second
// thread that hands work to the executors of calls that have one, so that these wait for no callback.
//
// Work is registered where failing is possible and posted where it is not: making Work makes sure of the
// thread, posting it allocates nothing and never fails. Any thread, the dispatcher included, may post.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0 {

/// Where continuations and callbacks of a call run, given as CallOptions::executor: a function that
/// takes something to run and runs it, now or later, on a thread of its choice. Called on a thread of the
/// pool's that does nothing else, one after the other. What it refuses by throwing, or drops, runs on the
/// callback thread instead.
using Executor = std::function<void(std::function<void()>)>;

namespace detail {

class Callbacks;

// Something to run on one of the two threads. As long as it lives, the thread does.
class PROCPOOL_API Work {
 public:
  enum class Thread : std::uint8_t { callbacks, executors };

  // Throws SetupError when the thread cannot be made.
  explicit Work(std::shared_ptr<Callbacks> callbacks, Thread thread = Thread::callbacks);
  Work(Work const&) = delete;
  Work& operator=(Work const&) = delete;
  virtual ~Work();

  // Records itself whatever user code throws in it.
  virtual void run() noexcept = 0;

  // For the log: "a continuation of task 5". Any thread, also while it runs.
  virtual std::string what() const;

  Callbacks& callbacks() const noexcept { return *callbacks_; }

 private:
  friend Callbacks;
  std::shared_ptr<Callbacks> const callbacks_;
  std::shared_ptr<Work> next_;  // in the queue
  Thread thread_;
};

class PROCPOOL_API Callbacks : public std::enable_shared_from_this<Callbacks> {
 public:
  using Log = std::function<void(std::string_view)>;

  // `name`: of the pool. After `quiet` its end says in the log what it waits for.
  explicit Callbacks(Log log, std::string name = {},
                     std::chrono::milliseconds quiet = std::chrono::seconds(10));
  Callbacks(Callbacks const&) = delete;
  Callbacks& operator=(Callbacks const&) = delete;
  ~Callbacks();

  // For what has no pool: one for all of it. Its threads go when there was no Work for a while.
  static std::shared_ptr<Callbacks> without_pool();

  // Never while the same Work waits in the queue.
  void post(std::shared_ptr<Work> work) noexcept;

  // From now on the callback thread is to run it, not an executor. False: there is no such thread.
  bool take_from_executor(Work& work) noexcept;

  bool on_thread() const noexcept;           // is the caller the callback thread?
  std::string const& pool() const noexcept;  // its name
  bool forked() const noexcept;  // are its threads in the process that this one was forked from?

  // While it lives, an executor runs the work, on the thread that made it.
  class PROCPOOL_API Outside {
   public:
    explicit Outside(Work& work) noexcept;
    Outside(Outside const&) = delete;
    Outside& operator=(Outside const&) = delete;
    ~Outside();

   private:
    friend Callbacks;
    Work& work_;
    Outside const* const outer_;  // on the same thread
    Outside* next_ = nullptr;     // in the list of all
    std::chrono::steady_clock::time_point const since_;
  };

  // The pool is over: blocks until what was posted has run, and what executors are running; the threads end
  // as soon as there is no Work. Called from inside of some work it does not block. In a forked child it
  // does nothing.
  void retire() noexcept;

  // To standard error, once the pool is gone: what its log refers to may be, too.
  void log(std::string_view text) const noexcept;

  // How many errors that nobody looked at were not told since the last that was; nothing: this is not to
  // be told either, but counted.
  std::optional<std::uint64_t> may_tell_lost() noexcept;

 private:
  friend Work;
  struct Queue;
  struct State;

  void hold(Work::Thread which);
  void release(Work::Thread which) noexcept;
  void log_lost(std::uint64_t untold) const noexcept;

  std::unique_ptr<State> const state_;
};

}  // namespace detail

}  // namespace procpool::inline v0
