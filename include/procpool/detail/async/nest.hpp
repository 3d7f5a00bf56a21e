// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The nest of coroutines that began each other on a thread. A coroutine begins at once, in its
// caller, so that one that calls itself uses the stack like any function. The outermost coroutine
// of a nest has a limit: half of the stack that was left to it, at most 4 MiB. Below the limit,
// coroutines that are called are postponed. They begin in the order of their calls, on the same
// thread, when the running ones wait or have ended, and before the call of the outermost one
// returns. Code that waits on that thread runs them first, so that it never waits for a coroutine
// that has not begun.
//
// Each thread uses only its own nest.

#include <coroutine>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

class Nest;

// A step that the thread takes when its stack is short again. It lies in the frame of a coroutine.
class PROCPOOL_API Postponed {
 public:
  Postponed() = default;
  Postponed(Postponed const&) = delete;
  Postponed& operator=(Postponed const&) = delete;

  // Cancels the step if it still waits for its turn.
  virtual ~Postponed();

  // Takes the step, which may destroy the frame and this object.
  virtual void go() noexcept = 0;

 private:
  friend Nest;

  Postponed* next_ = nullptr;
  Postponed** place_ = nullptr;  // what points here, in the list
};

// Begins the coroutine at once if the stack allows it, else later by start.go().
PROCPOOL_API void begin(std::coroutine_handle<> coroutine, Postponed& start) noexcept;

// Has the nest that runs on this thread postponed a step?
PROCPOOL_API bool is_any_postponed() noexcept;
// Puts a step behind the postponed ones. Only if is_any_postponed().
PROCPOOL_API void postpone(Postponed& one) noexcept;

// Takes the postponed steps. For a caller that is about to wait.
PROCPOOL_API void go_on_with_postponed() noexcept;

// Resumes the coroutine. An exception that leaves it is logged.
PROCPOOL_API void resume(std::coroutine_handle<> coroutine) noexcept;

// The awaiter of initial_suspend().
class Beginning final : public Postponed {
 public:
  bool await_ready() const noexcept { return false; }
  // The coroutine counts as suspended, so begin() may resume it. Afterwards its frame is not used.
  void await_suspend(std::coroutine_handle<> coroutine) noexcept {
    coroutine_ = coroutine;
    begin(coroutine, *this);
  }
  void await_resume() const noexcept {}

 private:
  void go() noexcept override { coroutine_.resume(); }

  std::coroutine_handle<> coroutine_;
};

}  // namespace procpool::inline v0_1::detail
