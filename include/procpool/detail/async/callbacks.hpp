// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Callbacks: the pool's callback thread. It runs the code of the user, except encoding and
// decoding: continuations, completion callbacks, progress, the resumption of coroutines. The thread
// is made at first use, and runs work in the order of posting. Callbacks may block it for any time:
// only the end of the pool waits for them. A second thread hands work to the executors of calls, so
// that no executor waits for a callback.
//
// Making Work may fail, and makes sure that the thread exists. Posting it allocates nothing and
// never fails. Any thread, the dispatcher included, may post.

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {

/// The place where continuations and callbacks of a call run, see CallOptions::executor. The
/// function takes work, and runs it now or later on a thread of its choice. A thread of the pool
/// that does nothing else calls it, one work after the other. If it throws, or drops the work
/// unused, the work runs on the callback thread.
using Executor = std::function<void(std::function<void()>)>;

namespace detail {

class Callbacks;

// Code to run on one of the two threads. The thread lives as long as this object.
class PROCPOOL_API Work {
 public:
  enum class Thread : std::uint8_t { callbacks, executors };

  // Throws SetupError if the thread cannot be made.
  explicit Work(std::shared_ptr<Callbacks> callbacks, Thread thread = Thread::callbacks);
  Work(Work const&) = delete;
  Work& operator=(Work const&) = delete;
  virtual ~Work();

  // Records the exceptions of user code itself.
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

  // `name` is that of the pool. After `quiet` the end of the pool logs the work that it waits for.
  explicit Callbacks(Log log, std::string name = {},
                     std::chrono::milliseconds quiet = std::chrono::seconds(10));
  Callbacks(Callbacks const&) = delete;
  Callbacks& operator=(Callbacks const&) = delete;
  ~Callbacks();

  // The one object for all work without a pool. Its threads end after a while without Work.
  static std::shared_ptr<Callbacks> without_pool();

  // The same Work must not be in the queue already.
  void post(std::shared_ptr<Work> work) noexcept;

  // Gives the work to the callback thread instead of an executor. False: there is no such thread.
  bool take_from_executor(Work& work) noexcept;

  bool on_thread() const noexcept;  // is the caller the callback thread?
  // The thread that the caller is. Null callbacks: it is none of them.
  struct OfThread {
    Callbacks const* callbacks = nullptr;
    Work::Thread which = Work::Thread::callbacks;
  };
  static OfThread of_this_thread() noexcept;
  std::string const& pool() const noexcept;  // its name
  bool forked() const noexcept;  // true in a forked child of the process that has the threads

  // While this object lives, an executor runs the work on the thread that made the object.
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

  // The end of the pool. Blocks until posted work has run, and the work that executors are running.
  // The threads end as soon as there is no Work. Does not block if called from inside of work. Does
  // nothing in a forked child.
  void retire() noexcept;

  // To the log of the pool. After the end of the pool, whose log may refer to dead objects, to
  // standard error.
  void log(std::string_view text) const noexcept;

  // May one more unseen error be logged? Returns the number of errors that were left out since the
  // last one in the log. Nothing: this one is left out too, and counted.
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

}  // namespace procpool::inline v0_1
