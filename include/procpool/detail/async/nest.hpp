#pragma once

// The nest of coroutines that began each other on a thread: one begins at once, in its caller, and so a coroutine that
// calls itself goes down the stack like any function. Where that has taken half of the stack that was left to
// the outermost of them (at most 4 MiB), those that are called next are postponed: they begin, in the order of
// their calls, when those that are under way have come to where they wait, or to their end; all of
// them before the call of the outermost one returns, and on the same thread. Somebody who waits on that
// thread meanwhile sees to them first, so that nobody waits for what has not begun.
//
// What belongs to a thread is touched by that thread alone.

#include <coroutine>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0::detail {

class Nest;

// Something that the thread does as soon as its stack is short again. It lies in the frame of a coroutine.
class PROCPOOL_API Postponed {
 public:
  Postponed() = default;
  Postponed(Postponed const&) = delete;
  Postponed& operator=(Postponed const&) = delete;

  // Where it still waits for its turn, it has none.
  virtual ~Postponed();

  // May be the last of it: what it lies in may go.
  virtual void go() noexcept = 0;

 private:
  friend Nest;

  Postponed* next_ = nullptr;
  Postponed** place_ = nullptr;  // what points here, in the list
};

// The coroutine begins, by way of start.go() or directly: now, if the stack allows it.
PROCPOOL_API void begin(std::coroutine_handle<> coroutine, Postponed& start) noexcept;

// Was anything postponed within what runs?
PROCPOOL_API bool is_any_postponed() noexcept;
// It has its turn behind that. Only inside of a nest, as where something was postponed.
PROCPOOL_API void postpone(Postponed& one) noexcept;

// The caller is about to wait: first whatever was postponed within what runs.
PROCPOOL_API void go_on_with_postponed() noexcept;

// Goes on with it; what it lets out goes to the log.
PROCPOOL_API void resume(std::coroutine_handle<> coroutine) noexcept;

// What initial_suspend() gives.
class Beginning final : public Postponed {
 public:
  bool await_ready() const noexcept { return false; }
  // The coroutine counts as suspended here, so it may be resumed inside. Behind that nothing of it is touched.
  void await_suspend(std::coroutine_handle<> coroutine) noexcept {
    coroutine_ = coroutine;
    begin(coroutine, *this);
  }
  void await_resume() const noexcept {}

 private:
  void go() noexcept override { coroutine_.resume(); }

  std::coroutine_handle<> coroutine_;
};

}  // namespace procpool::inline v0::detail
