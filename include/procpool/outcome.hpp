#pragma once

// Outcome: what became of one element, its value or its error. A value; as safe as T.

#include <exception>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>

namespace procpool::inline v0 {

/// What became of one element of a try_map: the value it returned, or the reason why there is none.
template <class T>
class Outcome {
  using Value = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

 public:
  /// A success; for void functions Outcome<void>(std::in_place).
  template <class... Args>
  explicit Outcome(std::in_place_t, Args&&... args)
      : state_(std::in_place_index<0>, std::forward<Args>(args)...) {}
  /// A failure; `error` is not null.
  explicit Outcome(std::exception_ptr error) : state_(std::in_place_index<1>, std::move(error)) {}

  /// Is there a value?
  bool ok() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return ok(); }

  /// The value; throws the error if there is none.
  decltype(auto) value() const& {
    check();
    if constexpr (!std::is_void_v<T>) return (std::get<0>(state_));
  }
  decltype(auto) value() & {
    check();
    if constexpr (!std::is_void_v<T>) return (std::get<0>(state_));
  }
  T value() && {
    check();
    if constexpr (!std::is_void_v<T>) return std::move(std::get<0>(state_));
  }

  /// The reason why there is no value; null if there is one. For a text: describe(outcome.error()).
  std::exception_ptr error() const noexcept {
    return ok() ? std::exception_ptr() : std::get<1>(state_);
  }

  /// What the element wrote to its standard output and error, with Output::capture, see Future::output.
  std::string const& output() const noexcept { return output_; }
  /// For the verbs.
  void set_output(std::string output) { output_ = std::move(output); }

 private:
  void check() const {
    if (!ok()) std::rethrow_exception(std::get<1>(state_));
  }

  std::variant<Value, std::exception_ptr> state_;
  std::string output_;
};

}  // namespace procpool::inline v0
