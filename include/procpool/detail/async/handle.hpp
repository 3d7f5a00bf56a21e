// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Handle: the common part of Future and Results, a T that comes later, once, for one owner. Like
// std::future it may be moved to another thread, and one thread uses it at a time. It may outlive
// its pool: by then it has an outcome.

#include <chrono>
#include <coroutine>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/cancel.hpp>
#include <procpool/detail/async/composed.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/outcome.hpp>

namespace procpool::inline v0_1 {

template <class T>
class Future;

namespace detail {

// The result type of a continuation over a T. A Future that it returns is unwrapped.
template <class F, class T>
struct Continued;

template <class Derived, class T>
class [[nodiscard]] Handle {
 public:
  Handle(Handle&& other) noexcept
      : completion_(std::move(other.completion_)),
        extra_(std::move(other.extra_)),
        task_(std::exchange(other.task_, nullptr)),
        take_(other.take_),
        take_outcome_(other.take_outcome_) {}
  Handle& operator=(Handle&& other) noexcept {
    if (this == &other) return *this;
    drop();
    completion_ = std::move(other.completion_);
    extra_ = std::move(other.extra_);
    task_ = std::exchange(other.task_, nullptr);
    take_ = other.take_;
    take_outcome_ = other.take_outcome_;
    return *this;
  }

  /// True if the handle refers to a call. False after get() and then(), and after it was moved
  /// from. All members but this one throw std::logic_error then.
  bool valid() const noexcept { return completion_ != nullptr; }

  /// True if the call has ended. Does not block.
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

  /// Blocks until the call has ended or the time is over. Returns whether the call has ended. It
  /// goes on in any case.
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> time) const {
    return completion().wait_until(deadline_after(time));
  }

  /// The same until this point in time, of any clock.
  template <class Clock, class Duration>
  bool wait_until(std::chrono::time_point<Clock, Duration> time) const {
    Completion const& known = completion();
    // Another clock may be set while this thread waits.
    for (;;) {
      auto const now = Clock::now();
      if (now >= time) return known.wait_until(TimePoint::min());
      if (known.wait_until(deadline_after(time - now))) return true;
    }
  }

  /// Blocks until the call has ended. Returns its value, or throws the reason why there is none
  /// (see errors.hpp). Once: the handle is not valid() afterwards.
  T get() {
    wait();
    return take_by(take_);
  }

  /// Cancels the call. Elements that have not begun never will. Running elements are ended with
  /// their workers (SIGTERM, then SIGKILL after ShutdownOptions::term_grace). Both end with
  /// TaskCancelled. Elements that have ended keep their outcomes. A task that listens (see
  /// this_task::stop_requested) is asked first, and its answer is its outcome. Returns the
  /// strongest of these that happened. Blocks until no cancelled element runs.
  ///
  /// A handle may be composed of other calls (then, when_all, a coroutine, ...). Then the calls
  /// that it waits for are cancelled, once. Code that gets the cancellation as an Outcome, or
  /// catches TaskCancelled, may go on and wait for others.
  ///
  /// If it waits for no call, because code of the program runs or is about to, that code is not
  /// interrupted, and the result is Cancel::ended. A function of then() that has not begun is not
  /// called, unless it takes an Outcome. The next call that the code waits for is cancelled at
  /// once. If there is none, the value of the code is dropped, and get() throws TaskCancelled. An
  /// error of the code stands.
  Cancel cancel() {
    completion();
    return detail::cancel(completion_);
  }

  /// As cancel(), but does not block: running elements end soon after. Returns false if the call has
  /// ended already. From a thread that may not use this handle: see get_stop_source().
  bool request_stop() {
    completion().check_usable();
    return detail::request_stop(completion_);
  }

  /// A source whose request_stop() is that of this call. It may be copied, and any thread may use it
  /// at any time, also while another one waits in get(). Does not block. Each call of this member
  /// makes a source of its own; for one source of many calls use CallOptions::stop.
  std::stop_source get_stop_source() {
    completion().check_usable();
    std::stop_source source;
    stop_with(completion_, source.get_token());
    return source;
  }

  /// Calls `function` with the value of get() after the end of the call. Returns a future of the
  /// result of `function`, or of its value if that is a Future or Results. A function that takes an
  /// Outcome<T> gets errors too. Otherwise an error passes to the new future, and `function` is not
  /// called. Exceptions of `function` pass to the new future.
  ///
  /// `function` runs on the executor of the call, else on the pool's callback thread. There it may
  /// block, use the pool, and even destroy the pool. Does not block. The handle is not valid()
  /// afterwards. Throws SetupError if the callback thread cannot be made; the handle stays as it
  /// was then.
  template <class F>
  auto then(F function) -> Future<typename Continued<F, T>::type>;

  /// The same on this executor, which is that of the new future too.
  template <class F>
  auto then(Executor executor, F function) -> Future<typename Continued<F, T>::type>;

  /// As then(), for failures alone: if there is no value, calls `function` with the Failure. Returns
  /// a future of the value, or else of what `function` returns: a T, or a Future or Results of one.
  template <class F>
  auto or_else(F function) -> Future<T>;

  /// As then(), in any case: calls `function()` after the end, and passes the value or the failure
  /// on. An exception of `function` takes its place.
  template <class F>
  auto finally(F function) -> Future<T>;

  /// A future that ends as this one does, or else after this time with TaskTimeout. Then the call is
  /// asked to stop, and nothing waits for that. Does not block. The handle is not valid() afterwards.
  /// Throws SetupError if the thread that looks at the clock cannot be made; the handle stays as it
  /// was then.
  template <class Rep, class Period>
  auto within(std::chrono::duration<Rep, Period> time) -> Future<T>;

  /// Calls `function()` after the end of the call, on the thread on which then() would. Its
  /// exceptions are logged. Does not block. Throws SetupError if the callback thread cannot be
  /// made.
  template <class F>
  void on_ready(F function);

  /// co_await: the coroutine goes on with the result of get(), on the thread on which then() would
  /// call.
  auto operator co_await();

 protected:
  // Takes the value out of an ended completion. `extra` is the object that the handle keeps beside
  // it.
  using Take = T (*)(Completion&, void* extra);
  // The same without a throw. Null: there is no such way.
  using TakeOutcome = Outcome<T> (*)(Completion&, void* extra);

  Handle() = default;
  Handle(std::shared_ptr<Task> task, Take take, TakeOutcome take_outcome = nullptr)
      : completion_(task), task_(task.get()), take_(take), take_outcome_(take_outcome) {}
  Handle(std::shared_ptr<Completion> completion, std::shared_ptr<void> extra, Take take,
         TakeOutcome take_outcome)
      : completion_(std::move(completion)),
        extra_(std::move(extra)),
        take_(take),
        take_outcome_(take_outcome) {}
  ~Handle() { drop(); }

  std::string output_of(std::uint64_t element) const {
    wait();
    return task_ == nullptr ? std::string() : task_->output(element);
  }

  std::vector<RunningElement> running() const {
    Completion const& known = completion();
    known.check_usable();
    auto const engine =
        task_ != nullptr && known.context() ? known.context()->engine.lock() : nullptr;
    return engine ? engine->running(*task_) : std::vector<RunningElement>();
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

  template <class R>
  R take_by(R (*take)(Completion&, void* extra)) {
    task_ = nullptr;
    std::shared_ptr<Completion> const completion = std::move(completion_);
    // Dropped also if it throws.
    struct Extra {
      std::shared_ptr<void> what;
      ~Extra() {
        if (what) let_go(std::move(what));
      }
    } const extra{std::move(extra_)};
    return take(*completion, extra.what.get());
  }

  template <class F>
  auto then_in(std::shared_ptr<CallContext const> const& context, F function)
      -> Future<typename Continued<F, T>::type>;

  void drop() noexcept {
    if (completion_) {
      completion_->leave();
      completion_.reset();
    }
    if (extra_) let_go(std::move(extra_));
  }

  std::shared_ptr<Completion> completion_;
  std::shared_ptr<void> extra_;
  Task* task_ = nullptr;  // the completion, if that is a task
  Take take_ = nullptr;
  TakeOutcome take_outcome_ = nullptr;
};

// For code that composes handles.
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
  // True if this function takes its value.
  template <class H>
  static bool takes(H const& handle, typename H::Take take) noexcept {
    return handle.take_ == take;
  }
  // The task of an ended handle, which has none afterwards. Null: it is of something else.
  template <class H>
  static std::shared_ptr<Task> take_task(H& handle) noexcept {
    if (handle.task_ == nullptr) return nullptr;
    return {std::move(handle.completion_), std::exchange(handle.task_, nullptr)};
  }
  // The object that it keeps beside its completion.
  template <class H>
  static std::shared_ptr<void> const& extra(H const& handle) noexcept {
    return handle.extra_;
  }
  // The outcome of an ended handle, as get() takes its value.
  template <class H>
  static bool has_outcome(H const& handle) noexcept {
    return handle.take_outcome_ != nullptr;
  }
  template <class H>
  static auto take_outcome(H& handle) {
    return handle.take_by(handle.take_outcome_);
  }
  // Drops the completion. Its error, if there is one, is not logged.
  template <class H>
  static void forget(H& handle) noexcept {
    handle.completion_.reset();
  }
};

}  // namespace detail

}  // namespace procpool::inline v0_1
