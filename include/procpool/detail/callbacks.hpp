#pragma once

// Callbacks: the pool's callback thread, on which everything of the user's runs that is not encoding
// or decoding: continuations, completion callbacks, progress, the resumption of coroutines. It is made
// at first use, runs one after the other in the order of posting, and may be blocked for as long as
// somebody likes: nothing of the pool waits for it but the pool's own end.
//
// Work is registered where failing is possible and posted where it is not: making Work makes sure of the
// thread, posting it allocates nothing and never fails. Any thread, the dispatcher included, may post.

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0 {

/// Where continuations and callbacks of a call run, given as CallOptions::executor: a function that
/// takes something to run and runs it, now or later, on a thread of its choice. Called on the pool's
/// callback thread. What it refuses by throwing, or drops, runs on the callback thread instead.
using Executor = std::function<void(std::function<void()>)>;

namespace detail {

class Callbacks;

// Something to run on the callback thread. As long as it lives, the thread does.
class PROCPOOL_API Work {
 public:
  // Throws SetupError when the thread cannot be made.
  explicit Work(std::shared_ptr<Callbacks> callbacks);
  Work(Work const&) = delete;
  Work& operator=(Work const&) = delete;
  virtual ~Work();

  // Records itself whatever user code throws in it.
  virtual void run() noexcept = 0;

  Callbacks& callbacks() const noexcept { return *callbacks_; }

 private:
  friend Callbacks;
  std::shared_ptr<Callbacks> const callbacks_;
  std::shared_ptr<Work> next_;  // in the queue
};

class PROCPOOL_API Callbacks : public std::enable_shared_from_this<Callbacks> {
 public:
  using Log = std::function<void(std::string_view)>;

  explicit Callbacks(Log log);
  Callbacks(Callbacks const&) = delete;
  Callbacks& operator=(Callbacks const&) = delete;
  ~Callbacks();

  // For what has no pool, or one no longer: the thread lives while there is Work.
  static std::shared_ptr<Callbacks> without_pool();

  // Never while the same Work waits in the queue.
  void post(std::shared_ptr<Work> work) noexcept;

  bool on_thread() const noexcept;  // is the caller the callback thread?

  // The pool is over: blocks until what was posted has run; the thread ends as soon as there is no
  // Work. Called from the thread itself it does not block. In a forked child it does nothing.
  void retire() noexcept;

  void log(std::string_view text) const noexcept;

 private:
  friend Work;
  struct State;

  void hold();
  void release() noexcept;
  void loop() noexcept;

  std::unique_ptr<State> const state_;
};

}  // namespace detail

}  // namespace procpool::inline v0
