// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Coroutines: any coroutine can await a handle, and a coroutine can return a Future<T>:
//
//   procpool::Future<int> total(procpool::ProcessPool& pool) {
//     int const a = co_await pool.submit<f>(1);
//     co_return a + co_await pool.submit<f>(2);
//   }
//
// A coroutine begins at once, in its caller. It goes on on the thread on which then() would call,
// or in place if the handle has ended. Its future belongs to the pool of the first handle that it
// awaits, and uses the executor and the callback thread of that pool. co_return of another
// Future<T> passes that one on, without a frame that waits. Included by future.hpp.
//
// Coroutines that call coroutines may use half of the stack (see nest.hpp). A coroutine that is
// called below that begins later, on the same thread: when its callers wait or have ended, and
// before the outermost call returns. Its awaiter goes on there too. Arguments that are passed by
// reference must live until then. So recursion needs no further stack, and no further memory if
// each coroutine returns the next one. At that depth code must not block until a coroutine that it
// called does something, except by a handle, for a pool, or in as_completed().

#include <atomic>
#include <concepts>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/continuation.hpp>
#include <procpool/detail/async/handle.hpp>
#include <procpool/detail/async/local_state.hpp>
#include <procpool/detail/async/nest.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0_1 {

class ProcessPool;
class PoolView;
class OutcomeView;

namespace detail {

class PROCPOOL_API Resumption final : public ContextWork {
 public:
  Resumption(std::shared_ptr<CallContext const> context, std::string whose,
             std::coroutine_handle<> coroutine);

  // The coroutine is destroyed, or goes on by itself.
  void forget() noexcept { coroutine_.store(nullptr, std::memory_order_relaxed); }

  std::string what() const override;

 private:
  void perform() noexcept override;

  std::string const whose_;
  std::atomic<void*> coroutine_;
};

template <class T>
class FuturePromiseBase;

struct PromiseAccess {
  template <class P>
  static Composed* state(P& promise) noexcept {
    if constexpr (requires { promise.composed(); }) {
      return promise.composed();
    } else {
      return nullptr;  // a coroutine of another type
    }
  }
};

// True for a future of a coroutine that may not have begun, or may await one that has not. Such a
// future knows no pool yet, and may end as soon as its coroutine begins.
inline bool is_unsettled(Completion const& awaited) noexcept {
  return !awaited.ended() && !awaited.is_task() && is_any_postponed();
}

template <class H>
class Awaiter final : public Postponed {
 public:
  explicit Awaiter(H& handle) noexcept : handle_(handle) {}
  ~Awaiter() override {
    if (work_) work_->forget();
  }

  bool await_ready() const { return handle_.ready(); }

  template <class P>
  void await_suspend(std::coroutine_handle<P> coroutine) {
    std::shared_ptr<Completion> const awaited = HandleAccess::shared(handle_);
    awaited->check_usable();
    coroutine_ = coroutine;
    if constexpr (!std::is_void_v<P>) whose_ = PromiseAccess::state(coroutine.promise());
    if (is_unsettled(*awaited)) {
      if (whose_ != nullptr) whose_->waits_for(awaited, Composed::Then::coroutine);
      postpone(*this);
    } else {
      wait_for(awaited);
    }
  }

  decltype(auto) await_resume() {
    if (whose_ != nullptr) whose_->waits_no_more();
    if (refused_) std::rethrow_exception(std::move(refused_));
    return handle_.get();
  }

 private:
  void adopt_context_of(Completion const& awaited) noexcept {
    if (whose_ == nullptr) return;
    whose_->found_context(awaited.context());
    whose_->found_no_context();
  }

  void wait_for(std::shared_ptr<Completion> const& awaited) {
    adopt_context_of(*awaited);
    bool const own = !awaited->context() && whose_ != nullptr && whose_->context();
    auto callback = std::make_unique<ScheduleCallback>();
    work_ = std::make_shared<Resumption>(own ? whose_->context() : context_of(*awaited),
                                         task_text(*awaited), coroutine_);
    if (whose_ != nullptr) whose_->waits_for(awaited, Composed::Then::coroutine);
    // Behind this line the coroutine may run in another thread: its frame is not used any more.
    ScheduleCallback::at_end(*awaited, std::move(callback), work_);
  }

  void go() noexcept override {
    try {
      std::shared_ptr<Completion> const awaited = HandleAccess::shared(handle_);
      if (!awaited->ended()) return wait_for(awaited);
      adopt_context_of(*awaited);
    } catch (...) {  // thrown by the co_await, as at once
      refused_ = std::current_exception();
    }
    resume(coroutine_);
  }

  H& handle_;
  std::coroutine_handle<> coroutine_;  // the one that awaits
  Composed* whose_ = nullptr;          // the state of its future
  std::shared_ptr<Resumption> work_;
  std::exception_ptr refused_;
};

template <class Derived, class T>
auto Handle<Derived, T>::operator co_await() {
  return Awaiter<Derived>(static_cast<Derived&>(*this));
}

// The context of the pool among the arguments of a coroutine. Null: there is none.
struct ContextAccess {
  static std::shared_ptr<CallContext const> among() { return nullptr; }
  template <class Arg, class... Args>
  static std::shared_ptr<CallContext const> among(Arg const& arg, Args const&... args) {
    if constexpr (std::same_as<Arg, OutcomeView>) return among(arg.view_, args...);
    if constexpr (std::same_as<Arg, ProcessPool> || std::same_as<Arg, PoolView>) {
      if (arg.context_) return arg.context_;
    }
    return among(args...);
  }
};

// Memory of coroutines. If a coroutine is destroyed before its end, its parameters end after its
// promise. Its future therefore ends when the frame of the promise is freed.
PROCPOOL_API void* new_frame(std::size_t size);
PROCPOOL_API void delete_frame(void* frame, std::size_t size) noexcept;
PROCPOOL_API void end_with_frame(void const* promise, std::shared_ptr<void> state,
                                 void (*finish)(std::shared_ptr<void>) noexcept) noexcept;
PROCPOOL_API std::exception_ptr broken_promise() noexcept;

template <class T>
class FuturePromiseBase {
 public:
  template <class... Args>
  explicit FuturePromiseBase(Args const&... args)
      : state_(std::make_shared<LocalState<T>>(nullptr, ContextAccess::among(args...))) {}
  FuturePromiseBase(FuturePromiseBase const&) = delete;
  FuturePromiseBase& operator=(FuturePromiseBase const&) = delete;
  ~FuturePromiseBase() {
    if (!state_) return;
    state_->set_error(broken_promise());
    state_->found_no_context();
    end_with_frame(this, std::move(state_), [](std::shared_ptr<void> state) noexcept {
      LocalState<T>::finish(std::static_pointer_cast<LocalState<T>>(std::move(state)));
    });
  }
  static void* operator new(std::size_t size) { return new_frame(size); }
  static void operator delete(void* frame, std::size_t size) noexcept { delete_frame(frame, size); }

  Future<T> get_return_object() { return LocalState<T>::future(state_); }
  Beginning initial_suspend() const noexcept { return {}; }

  // The future ends after the frame is destroyed, with all that the coroutine held.
  struct End {
    bool await_ready() const noexcept { return false; }
    template <class P>
    void await_suspend(std::coroutine_handle<P> coroutine) const noexcept {
      auto const state = std::move(coroutine.promise().state_);
      auto const next = std::move(coroutine.promise().next_);
      state->found_no_context();
      coroutine.destroy();
      if (next) {
        try {
          LocalState<T>::follow(state, std::move(*next));
          return;
        } catch (...) {
          state->set_error(std::current_exception());
        }
      }
      LocalState<T>::finish(state);
    }
    void await_resume() const noexcept {}
  };
  End final_suspend() const noexcept { return {}; }

  void unhandled_exception() noexcept {
    next_.reset();
    state_->set_error(std::current_exception());
  }

  template <class A>
  A&& await_transform(A&& awaited) noexcept {
    if constexpr (AnyHandle<std::remove_cvref_t<A>>) {
      if (awaited.valid()) {
        Completion& completion = HandleAccess::completion(awaited);
        if (is_unsettled(completion)) return std::forward<A>(awaited);  // see Awaiter::go()
        state_->found_context(completion.context());
      }
    }
    state_->found_no_context();
    return std::forward<A>(awaited);
  }

  Composed* composed() const noexcept { return state_.get(); }

 protected:
  std::shared_ptr<LocalState<T>> state_;
  std::unique_ptr<Future<T>> next_;  // of co_return
};

template <class T>
struct FuturePromise : FuturePromiseBase<T> {
  using FuturePromiseBase<T>::FuturePromiseBase;
  template <class V>
  void return_value(V&& value) {
    this->state_->set_value(std::forward<V>(value));
  }
  template <std::same_as<Future<T>> V>
  void return_value(V&& next) {
    // NOLINTNEXTLINE(bugprone-move-forwarding-reference): V is Future<T>, so this is an rvalue
    this->next_ = std::make_unique<Future<T>>(std::move(next));
  }
};
template <class T>
  requires std::is_void_v<T>
struct FuturePromise<T> : FuturePromiseBase<T> {
  using FuturePromiseBase<T>::FuturePromiseBase;
  void return_void() { this->state_->set_value(); }
};

}  // namespace detail

}  // namespace procpool::inline v0_1

template <class T, class... Args>
struct std::coroutine_traits<procpool::Future<T>, Args...> {
  using promise_type = procpool::detail::FuturePromise<T>;
};
