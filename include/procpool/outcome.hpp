// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Outcome: the outcome of one element, its value or its failure. A value; as safe as T.

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <procpool/failure.hpp>

namespace procpool::inline v0_1 {

/// When an element was queued, began and ended. Nothing: it never did, or the time is not known.
///
/// A worker answers short elements together, those of up to about 4 ms. They have the same times:
/// `started` is the begin of the first of them, and `ended` the arrival of their answer.
struct ElementTimes {
  using TimePoint = std::chrono::steady_clock::time_point;  ///< the same clock in all processes

  /// Its encoded arguments were handed to the pool.
  std::optional<TimePoint> queued{};
  /// Its last attempt began: so long before `ended` as the worker says, and never before `queued`.
  /// If its worker died: the moment when the pool first saw it run, some milliseconds after its
  /// begin, if it has a `timeout` or a `deadline`. Otherwise not known: the pool does not look.
  std::optional<TimePoint> started{};
  /// Its value or its failure was here.
  std::optional<TimePoint> ended{};

  /// From queued to started. Nothing unless both are known.
  std::optional<std::chrono::nanoseconds> waited() const noexcept {
    return between(queued, started);
  }
  /// From started to ended. Nothing unless both are known.
  std::optional<std::chrono::nanoseconds> ran() const noexcept { return between(started, ended); }

 private:
  static std::optional<std::chrono::nanoseconds> between(
      std::optional<TimePoint> const& from, std::optional<TimePoint> const& to) noexcept {
    if (!from || !to) return std::nullopt;
    return *to - *from;
  }
};

template <class T>
class Outcome;

namespace detail {

template <class T>
inline constexpr bool is_outcome = false;
template <class T>
inline constexpr bool is_outcome<Outcome<T>> = true;

// What an outcome has beside its value or failure. Elements that were answered together share it.
struct OutcomeFacts {
  ElementTimes times{};
  std::uint64_t attempts = 0;
  int worker = -1;
  pid_t pid = 0;
  std::string output{};
};
using OutcomeDetails = std::shared_ptr<OutcomeFacts const>;

// For the operations.
struct OutcomeAccess {
  template <class O>
  static void set(O& outcome, OutcomeDetails details) noexcept {
    outcome.details_ = std::move(details);
  }
};

}  // namespace detail

/// The outcome of one element: its value, or the reason why there is none. As std::expected<T,
/// Failure>, but for two things: value() throws the failure's own exception, and no access is
/// unchecked. Beside it stands what is known of the element: times, attempts, worker, output. The
/// outcomes of pool.outcomes() have that, and what transform() makes of them.
template <class T>
class [[nodiscard]] Outcome {
  struct Nothing {};
  using Value = std::conditional_t<std::is_void_v<T>, Nothing, T>;

 public:
  using value_type = T;
  using error_type = Failure;

  /// A success; for void functions Outcome<void>(std::in_place).
  template <class... Args>
  explicit Outcome(std::in_place_t, Args&&... args)
      : value_(std::in_place, std::forward<Args>(args)...) {}
  /// A success. Explicit, unlike that of std::expected: a function that takes an Outcome<T> must not
  /// be one that takes a T too, see Future::then.
  template <class U = Value>
    requires(!std::is_void_v<T> && !std::is_same_v<std::remove_cvref_t<U>, Outcome> &&
             !std::is_same_v<std::remove_cvref_t<U>, Failure> && std::is_convertible_v<U, Value>)
  explicit Outcome(U&& value) : value_(std::forward<U>(value)) {}
  /// A failure.
  Outcome(Failure failure) noexcept  // NOLINT(google-explicit-constructor): as std::expected
      : failure_(std::move(failure)) {}

  /// True if there is a value.
  bool has_value() const noexcept { return value_.has_value(); }
  /// The same as has_value().
  explicit operator bool() const noexcept { return has_value(); }

  /// The value; throws the failure's exception if there is none.
  decltype(auto) value() const& { return get(*this); }
  decltype(auto) value() & { return get(*this); }
  T value() && { return static_cast<T>(get(std::move(*this))); }
  T value() const&& { return static_cast<T>(get(*this)); }
  /// The same as value().
  decltype(auto) operator*() const& { return get(*this); }
  decltype(auto) operator*() & { return get(*this); }
  T operator*() && { return static_cast<T>(get(std::move(*this))); }
  auto* operator->() const
    requires(!std::is_void_v<T>)
  {
    return std::addressof(value());
  }
  auto* operator->()
    requires(!std::is_void_v<T>)
  {
    return std::addressof(value());
  }

  /// The value, or else this one.
  template <class U>
    requires(!std::is_void_v<T>)
  T value_or(U&& other) const& {
    return has_value() ? *value_ : static_cast<T>(std::forward<U>(other));
  }
  template <class U>
    requires(!std::is_void_v<T>)
  T value_or(U&& other) && {
    return has_value() ? *std::move(value_) : static_cast<T>(std::forward<U>(other));
  }

  /// The reason why there is no value. Throws std::logic_error if there is one.
  Failure const& error() const& {
    if (!failure_) throw std::logic_error("procpool: this outcome has a value, and no error()");
    return *failure_;
  }
  Failure error() && { return std::as_const(*this).error(); }

  /// The outcome that function(value) returns; for void function(). Of a failure the same failure.
  template <class F>
  auto and_then(F&& function) const& {
    return follow(*this, std::forward<F>(function));
  }
  template <class F>
  auto and_then(F&& function) && {
    return follow(std::move(*this), std::forward<F>(function));
  }
  /// An outcome of what function(value) returns; for void function(). Of a failure the same failure.
  /// It has the same times(), attempts(), worker(), pid() and output().
  template <class F>
  auto transform(F&& function) const& {
    return change(*this, std::forward<F>(function));
  }
  template <class F>
  auto transform(F&& function) && {
    return change(std::move(*this), std::forward<F>(function));
  }
  /// The outcome that function(failure) returns. Of a success the same success.
  template <class F>
  Outcome or_else(F&& function) const& {
    if (has_value()) return *this;
    return std::invoke(std::forward<F>(function), *failure_);
  }
  template <class F>
  Outcome or_else(F&& function) && {
    if (has_value()) return std::move(*this);
    return std::invoke(std::forward<F>(function), *std::move(failure_));
  }

  /// When the element was queued, began and ended.
  ElementTimes times() const noexcept { return details_ ? details_->times : ElementTimes(); }
  /// How often the element began, see CallOptions::retries. 0: it never did.
  std::uint64_t attempts() const noexcept { return details_ ? details_->attempts : 0; }
  /// The index in its pool of the worker that ran it, the last one of several. -1: none did.
  int worker() const noexcept { return details_ ? details_->worker : -1; }
  /// The process that ran it, the last one of several. 0: none did.
  pid_t pid() const noexcept { return details_ ? details_->pid : 0; }
  /// The standard output and error of the element, with Output::capture, see Future::output. Lives as
  /// long as a copy of this outcome.
  std::string const& output() const noexcept {
    static std::string const nothing;
    return details_ ? details_->output : nothing;
  }

 private:
  template <class U>
  friend class Outcome;
  friend detail::OutcomeAccess;

  template <class Self>
  static decltype(auto) get(Self&& self) {
    if (!self.has_value()) self.failure_->rethrow();
    if constexpr (!std::is_void_v<T>) return (*std::forward<Self>(self).value_);
  }

  template <class F, class Self>
  static decltype(auto) call(F&& function, Self&& self) {
    if constexpr (std::is_void_v<T>) {
      return std::invoke(std::forward<F>(function));
    } else {
      return std::invoke(std::forward<F>(function), *std::forward<Self>(self).value_);
    }
  }

  template <class Self, class F>
  static auto follow(Self&& self, F&& function) {
    using Next =
        std::remove_cvref_t<decltype(call(std::forward<F>(function), std::forward<Self>(self)))>;
    static_assert(detail::is_outcome<Next>,
                  "procpool: the function of and_then() returns an Outcome; one that returns a "
                  "value is for transform()");
    if (!self.has_value()) return Next(*self.failure_);
    return call(std::forward<F>(function), std::forward<Self>(self));
  }

  template <class Self, class F>
  static auto change(Self&& self, F&& function) {
    using U = std::remove_cv_t<decltype(call(std::forward<F>(function), std::forward<Self>(self)))>;
    static_assert(!std::is_reference_v<U>,
                  "procpool: the function of transform() returns a value, not a reference");
    Outcome<U> changed = [&] {
      if (!self.has_value()) return Outcome<U>(*self.failure_);
      if constexpr (std::is_void_v<U>) {
        call(std::forward<F>(function), std::forward<Self>(self));
        return Outcome<U>(std::in_place);
      } else {
        return Outcome<U>(std::in_place, call(std::forward<F>(function), std::forward<Self>(self)));
      }
    }();
    changed.details_ = self.details_;
    return changed;
  }

  std::optional<Value> value_;
  std::optional<Failure> failure_;  // there is either one or the other
  detail::OutcomeDetails details_;  // null: nothing is known
};

}  // namespace procpool::inline v0_1
