// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Promise: the other end of a Future, for code that learns of a value in another way than by a pool.
// And futures that are ready.

#include <concepts>
#include <exception>
#include <memory>
#include <type_traits>
#include <utility>

#include <procpool/detail/async/local_state.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/future.hpp>

namespace procpool::inline v0_1 {

namespace detail {

// std::future_error of std::future_errc, without <future> in each user's code.
[[noreturn]] PROCPOOL_API void throw_future_already_retrieved();
[[noreturn]] PROCPOOL_API void throw_promise_already_satisfied();
[[noreturn]] PROCPOOL_API void throw_no_state();

}  // namespace detail

/// As std::promise, for a Future: so that the result of another API can be awaited, composed and
/// stopped like a call. One thread uses it at a time; that may be another one than the owner of the
/// future. Nothing here blocks. Continuations of the future run on the callback thread of calls
/// without a pool.
template <class T>
class Promise {
  using State = detail::LocalState<T>;

 public:
  /// Makes the shared state. Throws std::bad_alloc.
  Promise() : state_(std::make_shared<State>(nullptr)) {}
  /// The promise that was moved from can only be assigned to and destroyed.
  Promise(Promise&&) noexcept = default;
  /// Abandons what it was the promise of, as the destructor does.
  Promise& operator=(Promise&& other) noexcept {
    if (this == &other) return *this;
    abandon();
    state_ = std::move(other.state_);
    retrieved_ = other.retrieved_;
    satisfied_ = other.satisfied_;
    return *this;
  }
  /// If there is no value and no exception yet, the future ends with std::future_error of
  /// std::future_errc::broken_promise.
  ~Promise() { abandon(); }

  /// The future. Once: throws std::future_error of future_already_retrieved, and of no_state if the
  /// promise was moved from, as all members do.
  Future<T> get_future() {
    state();
    if (std::exchange(retrieved_, true)) detail::throw_future_already_retrieved();
    return State::future(state_);
  }

  /// Gives the future its value, constructed of these arguments; of none for void. Throws
  /// std::future_error of promise_already_satisfied if it has an outcome, and the exceptions of the
  /// constructor; it has no outcome then.
  template <class... Args>
    requires(std::is_void_v<T> ? sizeof...(Args) == 0 : std::is_constructible_v<T, Args...>)
  void set_value(Args&&... args) {
    open().set_value(std::forward<Args>(args)...);
    finish();
  }
  /// Gives the future this exception, which is not null.
  void set_exception(std::exception_ptr exception) {
    open().set_error(std::move(exception));
    finish();
  }

  /// True if the future, or what was composed of it, was cancelled or asked to stop. The value that
  /// is set then is dropped, and get() throws TaskCancelled. An exception stands.
  bool stop_requested() const { return state().requested(); }

 private:
  State& state() const {
    if (!state_) detail::throw_no_state();
    return *state_;
  }
  State& open() const {
    State& state = this->state();
    if (satisfied_) detail::throw_promise_already_satisfied();
    return state;
  }
  void finish() noexcept {
    satisfied_ = true;
    state_->found_no_context();
    State::finish(state_);
  }
  void abandon() noexcept {
    if (!state_ || satisfied_) return;
    state_->set_error(detail::broken_promise());
    finish();
  }

  std::shared_ptr<State> state_;
  bool retrieved_ = false;
  bool satisfied_ = false;
};

/// A future that has this value already.
template <class T>
Future<std::decay_t<T>> make_ready_future(T&& value) {
  Promise<std::decay_t<T>> promise;
  promise.set_value(std::forward<T>(value));
  return promise.get_future();
}
/// A Future<void> that has ended already.
inline Future<void> make_ready_future() {
  Promise<void> promise;
  promise.set_value();
  return promise.get_future();
}

/// A future that has failed already: get() throws this exception.
template <class T>
Future<T> make_failed_future(std::exception_ptr exception) {
  Promise<T> promise;
  promise.set_exception(std::move(exception));
  return promise.get_future();
}
template <class T, class E>
  requires(!std::same_as<std::decay_t<E>, std::exception_ptr>)
Future<T> make_failed_future(E&& exception) {
  return make_failed_future<T>(std::make_exception_ptr(std::forward<E>(exception)));
}

}  // namespace procpool::inline v0_1
