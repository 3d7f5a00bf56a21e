// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// then() and on_ready(): calls that follow the end of a handle. Included by future.hpp.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/handle.hpp>
#include <procpool/detail/async/local_state.hpp>
#include <procpool/detail/codec/in_place.hpp>
#include <procpool/detail/operations/collect.hpp>
#include <procpool/errors.hpp>
#include <procpool/outcome.hpp>

namespace procpool::inline v0_1 {

template <class R>
class Results;

namespace detail {

template <class H, class T>
T value_type_of(Handle<H, T> const&);

template <class V>
concept AnyHandle = requires(V const& handle) { value_type_of(handle); };

template <class V>
struct Unwrapped {
  using type = std::remove_cvref_t<V>;
};
template <AnyHandle V>
struct Unwrapped<V> {
  using type = decltype(value_type_of(std::declval<V const&>()));
};
// What a function returns that passes an outcome on. Its future has the value or the failure.
template <class T>
struct PassedOn {
  Outcome<T> outcome;
};
template <class V>
inline constexpr bool is_passed_on = false;
template <class T>
inline constexpr bool is_passed_on<PassedOn<T>> = true;
template <class T>
struct Unwrapped<PassedOn<T>> {
  using type = T;
};

// Does the continuation take the value itself?
template <class F, class T>
inline constexpr bool takes_value = std::is_invocable_v<F&, T>;
template <class F>
inline constexpr bool takes_value<F, void> = std::is_invocable_v<F&>;

template <class F, class T>
struct Continued {
  static_assert(std::is_invocable_v<F&, Outcome<T>>,
                "procpool: this continuation can be called neither with the value of the future "
                "(nothing, if it has none) nor with an Outcome of it");
  using Returned = std::invoke_result_t<F&, Outcome<T>>;
  using type = typename Unwrapped<Returned>::type;
};
template <class F, class T>
  requires(takes_value<F, T> && !std::is_void_v<T>)
struct Continued<F, T> {
  using Returned = std::invoke_result_t<F&, T>;
  using type = typename Unwrapped<Returned>::type;
};
template <class F>
  requires takes_value<F, void>
struct Continued<F, void> {
  using Returned = std::invoke_result_t<F&>;
  using type = typename Unwrapped<Returned>::type;
};

// A call may return a T.
template <class T>
inline constexpr bool is_result = serializable<T>;
template <>
inline constexpr bool is_result<void> = true;
template <class T>
inline constexpr bool is_result<Outcome<T>> = false;

// The result of get() of an ended handle, as a value. A failure costs no throw.
template <class T, class H>
Outcome<T> outcome_of(H& handle) {
  try {
    if constexpr (std::is_same_v<H, Future<T>> && is_result<T>) {
      auto const task = HandleAccess::take_task(handle);
      if (task) return collect_value<Outcome<T>>(*task);
    }
    if (HandleAccess::has_outcome(handle)) return HandleAccess::take_outcome(handle);
    if constexpr (std::is_void_v<T>) {
      handle.get();
      return Outcome<T>(std::in_place);
    } else {
      return put_made<T>([&] { return handle.get(); },
                         [](auto&& value) {
                           return Outcome<T>(std::in_place, std::forward<decltype(value)>(value));
                         });
    }
  } catch (...) {
    return Outcome<T>(Failure(std::current_exception()));
  }
}

template <class H, class T, class F>
class Continuation final : public ContextWork {
  using Returned = typename Continued<F, T>::Returned;
  using Result = typename Continued<F, T>::type;

 public:
  // Throws if there is no thread to run on, or no memory. The caller keeps the handle then.
  Continuation(std::shared_ptr<CallContext const> const& context, H&& handle, F&& function)
      : ContextWork(context),
        whose_(task_text(HandleAccess::completion(handle))),
        result_(std::make_shared<LocalState<Result>>(context)),
        function_(std::move(function)),
        handle_(std::move(handle)) {}

  LocalState<Result>& result() const { return *result_; }
  Future<Result> future() const { return LocalState<Result>::future(result_); }

  std::string what() const override {
    return "the continuation" + whose_ + " (" + type_text(typeid(F)) + ")";
  }

 private:
  void perform() noexcept override {
    auto const result = std::exchange(result_, nullptr);
    cancelled_ = result->waits_no_more();
    bool followed = false;
    try {
      if constexpr (AnyHandle<std::remove_cvref_t<Returned>>) {
        std::optional<std::remove_cvref_t<Returned>> next;
        auto failure = call([&next](auto const& returned) { next.emplace(returned()); });
        function_.reset();
        if (failure) {
          result->set_error(std::move(failure));
        } else {
          LocalState<Result>::follow(result, *std::move(next));
          followed = true;
        }
      } else {
        auto failure = call([&result](auto const& returned) { keep(*result, returned); });
        function_.reset();  // its captures are gone before its result can be seen
        if (failure) result->set_error(std::move(failure));
      }
    } catch (...) {
      function_.reset();
      result->set_error(std::current_exception());
    }
    if (!followed) LocalState<Result>::finish(result);
  }

  // Calls `use` with a call of the function. Its arguments live until `use` returns. Or else
  // returns the failure that passes the function by.
  template <class Use>
  std::exception_ptr call(Use const& use) {
    if constexpr (!takes_value<F, T>) {
      with_result([this] { return outcome_of<T>(handle_); },
                  [&](Outcome<T>&& outcome) {
                    use([&]() -> Returned { return std::invoke(*function_, std::move(outcome)); });
                  });
      return nullptr;
    } else {
      if (may_have_failed(HandleAccess::completion(handle_))) {
        if constexpr (std::is_same_v<H, Future<T>> && !is_outcome<T>) {
          if (auto const task = HandleAccess::take_task(handle_)) return only_failure(*task);
        }
        if (HandleAccess::has_outcome(handle_)) {
          return with_result([this] { return HandleAccess::take_outcome(handle_); },
                             [&](Outcome<T>&& outcome) -> std::exception_ptr {
                               if (!outcome.has_value()) return outcome.error().exception();
                               if constexpr (std::is_void_v<T>) {
                                 return call_wanted(use);
                               } else {
                                 return call_wanted(use, *std::move(outcome));
                               }
                             });
        }
      }
      if constexpr (std::is_void_v<T>) {
        handle_.get();
        return call_wanted(use);
      } else {
        return with_result([this] { return handle_.get(); },
                           [&](T&& value) { return call_wanted(use, std::move(value)); });
      }
    }
  }

  template <class Use, class... Value>
  std::exception_ptr call_wanted(Use const& use, Value&&... value) {
    if (cancelled_) {
      return std::make_exception_ptr(TaskCancelled("a continuation was cancelled before it began"));
    }
    use([&]() -> Returned { return std::invoke(*function_, std::forward<Value>(value)...); });
    return nullptr;
  }

  template <class Call>
  static void keep(LocalState<Result>& result, Call const& returned) {
    if constexpr (is_passed_on<Returned>) {
      auto passed = returned();
      if (!passed.outcome.has_value()) {
        result.set_error(passed.outcome.error().exception());
      } else if constexpr (std::is_void_v<Result>) {
        result.set_value();
      } else {
        result.set_value(*std::move(passed.outcome));
      }
    } else if constexpr (std::is_void_v<Returned>) {
      returned();
      result.set_value();
    } else if constexpr (std::is_same_v<Returned, Result>) {
      put_made<Result>(returned, [&result](auto&& made) {
        result.set_value(std::forward<decltype(made)>(made));
      });
    } else {
      result.set_value(returned());
    }
  }

  std::string const whose_;
  bool cancelled_ = false;
  std::shared_ptr<LocalState<Result>> result_;
  std::optional<F> function_;
  H handle_;
};

template <class F>
class ReadyCall final : public ContextWork {
 public:
  ReadyCall(std::shared_ptr<CallContext const> const& context, std::string whose, F&& function)
      : ContextWork(context), whose_(std::move(whose)), function_(std::move(function)) {}

  std::string what() const override {
    return "the on_ready callback" + whose_ + " (" + type_text(typeid(F)) + ")";
  }

 private:
  void perform() noexcept override {
    try {
      std::invoke(*function_);
    } catch (...) {
      callbacks().log("a callback threw: " + describe(std::current_exception()));
    }
    function_.reset();
  }

  std::string const whose_;
  std::optional<F> function_;
};

template <class Derived, class T>
template <class F>
auto Handle<Derived, T>::then(F function) -> Future<typename Continued<F, T>::type> {
  return then_in(context_of(completion()), std::move(function));
}

template <class Derived, class T>
template <class F>
auto Handle<Derived, T>::then(Executor executor, F function)
    -> Future<typename Continued<F, T>::type> {
  return then_in(with_executor(*context_of(completion()), std::move(executor)),
                 std::move(function));
}

template <class Derived, class T>
template <class F>
auto Handle<Derived, T>::or_else(F function) -> Future<T> {
  static_assert(std::is_invocable_v<F&, Failure>,
                "procpool: or_else calls its function with the Failure of the future");
  if constexpr (!std::is_invocable_v<F&, Failure>) {
    return {};
  } else if constexpr (AnyHandle<std::remove_cvref_t<std::invoke_result_t<F&, Failure>>>) {
    return then([function = std::move(function)](Outcome<T> outcome) mutable -> Future<T> {
      if (!outcome.has_value()) {
        auto state = std::make_shared<LocalState<T>>(nullptr);
        auto future = LocalState<T>::future(state);
        LocalState<T>::follow(state, std::invoke(function, std::move(outcome).error()));
        return future;
      }
      auto state = std::make_shared<LocalState<T>>(nullptr);
      if constexpr (std::is_void_v<T>) {
        state->set_value();
      } else {
        state->set_value(*std::move(outcome));
      }
      LocalState<T>::finish(state);
      return LocalState<T>::future(state);
    });
  } else {
    return then([function = std::move(function)](Outcome<T> outcome) mutable -> T {
      if (!outcome.has_value()) {
        return static_cast<T>(std::invoke(function, std::move(outcome).error()));
      }
      return *std::move(outcome);
    });
  }
}

template <class Derived, class T>
template <class F>
auto Handle<Derived, T>::finally(F function) -> Future<T> {
  static_assert(
      std::is_invocable_v<F&>,
      "procpool: finally calls its function without arguments; for the outcome use then()");
  if constexpr (std::is_invocable_v<F&>) {
    return then([function = std::move(function)](Outcome<T> outcome) mutable {
      std::invoke(function);
      return PassedOn<T>{std::move(outcome)};
    });
  } else {
    return {};
  }
}

template <class Derived, class T>
template <class F>
auto Handle<Derived, T>::then_in(std::shared_ptr<CallContext const> const& context, F function)
    -> Future<typename Continued<F, T>::type> {
  auto const keep = completion_;
  Completion& known = completion();
  known.check_usable();
  auto callback = std::make_unique<ScheduleCallback>();
  auto work = std::make_shared<Continuation<Derived, T, F>>(
      context, std::move(static_cast<Derived&>(*this)), std::move(function));
  auto future = work->future();
  work->result().waits_for(keep, Composed::Then::continuation);
  ScheduleCallback::at_end(known, std::move(callback), std::move(work));
  return future;
}

template <class Derived, class T>
template <class F>
void Handle<Derived, T>::on_ready(F function) {
  static_assert(
      std::is_invocable_v<F&>,
      "procpool: on_ready calls its function without arguments; for the value use then()");
  Completion& known = completion();
  known.check_usable();
  auto callback = std::make_unique<ScheduleCallback>();
  ScheduleCallback::at_end(
      known, std::move(callback),
      std::make_shared<ReadyCall<F>>(context_of(known), task_text(known), std::move(function)));
}

}  // namespace detail

}  // namespace procpool::inline v0_1
