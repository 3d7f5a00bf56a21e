// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// WithinTime: a future that ends with the outcome of another one, or at a point in time. Included by
// future.hpp.

#include <atomic>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/cancel.hpp>
#include <procpool/detail/async/handle.hpp>
#include <procpool/detail/async/local_state.hpp>
#include <procpool/detail/async/timer.hpp>
#include <procpool/duration.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0_1::detail {

template <class H, class T>
class WithinTime final : public Timer {
  using State = LocalState<T>;

 public:
  WithinTime(std::shared_ptr<State> result, TimePoint time, std::string text)
      : result_(std::move(result)), time_(time), text_(std::move(text)) {}

  // Takes the handle. Throws if it refers to nothing or there is no thread; the handle stays as it was
  // then.
  static Future<T> start(H& handle, TimePoint time, std::string text) {
    std::shared_ptr<Completion> const source = HandleAccess::shared(handle);
    source->check_usable();
    auto const within = std::make_shared<WithinTime>(
        std::make_shared<State>(known_context(*source)), time, std::move(text));
    auto callback = std::make_unique<SourceEnded>();
    callback->within = within;
    within->result_->waits_for(source, Composed::Then::its_end_or_time);
    auto future = State::future(within->result_);
    within->handle_.emplace(std::move(handle));
    try {
      Timer::start(within, time);
    } catch (...) {
      handle = std::move(*within->handle_);
      throw;
    }
    source->on_end(std::move(callback));
    return future;
  }

  void due() noexcept override {
    if (decided_.exchange(true, std::memory_order_acq_rel)) return;
    auto const source = HandleAccess::shared(*handle_);
    std::exception_ptr late;
    try {
      late = std::make_exception_ptr(TaskTimeout(text_));
    } catch (...) {  // no memory for the text
      late = std::current_exception();
    }
    result_->set_error(std::move(late));
    State::finish(std::move(result_));
    request_stop(source);
    handle_.reset();
  }

 private:
  struct SourceEnded final : Completion::Callback {
    void ended() noexcept override { within->source_ended(); }
    std::shared_ptr<WithinTime> within;
  };

  void source_ended() noexcept {
    if (decided_.exchange(true, std::memory_order_acq_rel)) return;
    Timer::cancel(*this, time_);
    auto const result = std::move(result_);
    result->found_context(HandleAccess::completion(*handle_).context());
    try {
      State::follow(result, std::move(*handle_));
    } catch (...) {
      result->set_error(std::current_exception());
      State::finish(result);
    }
  }

  std::shared_ptr<State> result_;
  TimePoint const time_;
  std::string const text_;
  std::optional<H> handle_;
  std::atomic<bool> decided_{false};  // by the end of the source, or by the time
};

template <class Derived, class T>
template <class Rep, class Period>
auto Handle<Derived, T>::within(std::chrono::duration<Rep, Period> time) -> Future<T> {
  Milliseconds const milliseconds = time;
  return WithinTime<Derived, T>::start(
      static_cast<Derived&>(*this), later(std::chrono::steady_clock::now(), time),
      "a future had not ended within " + std::to_string(milliseconds.count()) + " ms");
}

}  // namespace procpool::inline v0_1::detail
