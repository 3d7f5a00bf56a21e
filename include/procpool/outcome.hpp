#pragma once

// Outcome: the outcome of one element, its value or its error. A value; as safe as T.

#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace procpool::inline v0 {

/// The outcome of one element of a try_map: its value, or the reason why there is none.
template <class T>
class Outcome {
  struct Nothing {};
  using Value = std::conditional_t<std::is_void_v<T>, Nothing, T>;

 public:
  /// A success; for void functions Outcome<void>(std::in_place).
  template <class... Args>
  explicit Outcome(std::in_place_t, Args&&... args)
      : value_(std::in_place, std::forward<Args>(args)...) {}
  /// A failure; `error` is not null.
  explicit Outcome(std::exception_ptr error) : error_(std::move(error)) {}

  /// True if there is a value.
  bool ok() const noexcept { return value_.has_value(); }
  /// The same as ok().
  explicit operator bool() const noexcept { return ok(); }

  /// The value; throws the error if there is none.
  decltype(auto) value() const& {
    check();
    if constexpr (!std::is_void_v<T>) return (*value_);
  }
  decltype(auto) value() & {
    check();
    if constexpr (!std::is_void_v<T>) return (*value_);
  }
  T value() && {
    check();
    if constexpr (!std::is_void_v<T>) return std::move(*value_);
  }

  /// The reason why there is no value. Null: there is one. For a text: describe(outcome.error()).
  std::exception_ptr error() const noexcept { return error_; }

  /// The standard output and error of the element, with Output::capture, see Future::output.
  std::string const& output() const noexcept { return output_; }
  /// For the operations.
  void set_output(std::string output) { output_ = std::move(output); }

 private:
  void check() const {
    if (!ok()) std::rethrow_exception(error_);
  }

  std::optional<Value> value_;
  std::exception_ptr error_;  // null: there is a value
  std::string output_;
};

}  // namespace procpool::inline v0
