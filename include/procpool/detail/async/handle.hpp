#pragma once

// Handle: what Future and Results have in common: something that will be a T, once, for one owner. Like
// std::future it may be moved to another thread, and is used by one at a time. It outlives its pool: by
// then it has an outcome.

#include <chrono>
#include <coroutine>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/composed.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/outcome.hpp>

namespace procpool::inline v0 {

template <class T>
class Future;

namespace detail {

// What a continuation over a T gives: Future<what it returns>, without a Future in a Future.
template <class F, class T>
struct Continued;

template <class Derived, class T>
class [[nodiscard]] Handle {
 public:
  Handle(Handle&& other) noexcept
      : completion_(std::move(other.completion_)),
        extra_(std::move(other.extra_)),
        task_(std::exchange(other.task_, nullptr)),
        take_(other.take_) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this == &other) return *this;
    drop();
    completion_ = std::move(other.completion_);
    extra_ = std::move(other.extra_);
    task_ = std::exchange(other.task_, nullptr);
    take_ = other.take_;
    return *this;
  }

  /// Does it refer to a call? False after get() and then(), and after having been moved from.
  bool valid() const noexcept { return completion_ != nullptr; }

  /// Has the call ended? Does not block.
  bool ready() const { return completion().ended(); }

  /// Blocks until the call has ended.
  void wait() const {
    Completion const& known = completion();
    if (known.ended()) return;
    if (task_ != nullptr && known.context()) {
      if (auto const engine = known.context()->engine.lock()) engine->help(*task_);
    }
    known.wait_until(std::nullopt);
  }

  /// Blocks until the call has ended or the time is over; says whether it has ended. The call goes on
  /// in any case.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> time) const {
    return completion().wait_until(deadline_after(time));
  }

  /// Blocks until the call has ended and gives its value, or throws the reason why there is none (see
  /// errors.hpp). Once: the handle is not valid() after it.
  T get() {
    wait();
    task_ = nullptr;
    std::shared_ptr<Completion> const completion = std::move(completion_);
    // Let go of also where there is no value.
    struct Extra {
      std::shared_ptr<void> what;
      ~Extra() {
        if (what) let_go(std::move(what));
      }
    } const extra{std::move(extra_)};
    return take_(*completion, extra.what.get());
  }

  /// Ends the call: what has not begun never will, what runs is ended with its worker (SIGTERM, then
  /// SIGKILL after PoolOptions::term_grace), and ends with TaskCancelled; what had ended keeps its
  /// outcome. A task that listens (see this_task::stop_requested) is asked first, and what it makes of
  /// that is its outcome. Says which of these happened, the last of them that did. Blocks until what ran
  /// is gone.
  ///
  /// Of what was composed of other calls (then, when_all, a coroutine, ...) it ends those that it waits for, once:
  /// code that is told so by an Outcome, or that catches TaskCancelled, may go on and wait for others. Where it
  /// waits for none, because code of the program's own runs or is about to, that is not interrupted, and it
  /// says Cancel::ended: a function given to then() that has not begun is not called, unless it takes an
  /// Outcome; what is waited for next is ended at once; and if nothing is waited for any more, the
  /// value that the code makes is dropped, and get() throws TaskCancelled. An error that it throws stands.
  Cancel cancel() {
    completion();
    return detail::cancel(completion_);
  }

  /// Calls `function` with what get() would give once it is there, and gives a future of what that
  /// returns; where it returns a Future or Results, a future of their value. One that takes an
  /// Outcome<T> gets errors too; otherwise an error passes to the new future and `function` is not
  /// called. Runs on the executor of the call, else on the pool's callback thread, where it may block,
  /// use the pool and even destroy it. What it throws is the new future's. The handle is not valid()
  /// after it. Throws SetupError when the callback thread cannot be made.
  template <class F>
  auto then(F function) -> Future<typename Continued<F, T>::type>;

  /// Calls `function()` once the call has ended, where then() would. What it throws is logged.
  template <class F>
  void on_ready(F function);

  /// co_await: the coroutine goes on, where then() would call, with what get() gives.
  auto operator co_await();

 protected:
  // Gets the value out of an ended completion; `extra` is what the handle keeps beside it.
  using Take = T (*)(Completion&, void* extra);

  Handle() = default;
  Handle(std::shared_ptr<Task> task, Take take)
      : completion_(task), task_(task.get()), take_(take) {}
  Handle(std::shared_ptr<Completion> completion, std::shared_ptr<void> extra, Take take)
      : completion_(std::move(completion)), extra_(std::move(extra)), take_(take) {}
  ~Handle() { drop(); }

  std::string output_of(std::uint64_t element) const {
    wait();
    return task_ == nullptr ? std::string() : task_->output(element);
  }

  Completion& completion() const {
    if (!completion_) {
      throw std::logic_error("procpool: this handle refers to no call");
    }
    return *completion_;
  }
  Task::Counts counts() const {
    completion().check_usable();
    return task_->counts();
  }

 private:
  friend struct HandleAccess;

  void drop() noexcept {
    if (completion_) {
      completion_->leave();
      completion_.reset();
    }
    if (extra_) let_go(std::move(extra_));
  }

  std::shared_ptr<Completion> completion_;
  std::shared_ptr<void> extra_;
  Task* task_ = nullptr;  // the completion, where it is a task
  Take take_ = nullptr;
};

// For what composes handles.
struct HandleAccess {
  template <class H>
  static Completion& completion(H const& handle) {
    return handle.completion();
  }
  template <class H>
  static std::shared_ptr<Completion> const& shared(H const& handle) {
    handle.completion();
    return handle.completion_;
  }
  // Does it get its value in this way?
  template <class H>
  static bool takes(H const& handle, typename H::Take take) noexcept {
    return handle.take_ == take;
  }
  // What it keeps beside its completion.
  template <class H>
  static std::shared_ptr<void> const& extra(H const& handle) noexcept {
    return handle.extra_;
  }
  // Its error, should there be one, is not missed by anybody.
  template <class H>
  static void forget(H& handle) noexcept {
    handle.completion_.reset();
  }
};

}  // namespace detail

}  // namespace procpool::inline v0
