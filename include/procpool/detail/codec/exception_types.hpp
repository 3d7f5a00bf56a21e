// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ExceptionTypes: the types of exceptions that a program has listed, as the compiled core sees
// them. Each type has one function. Its address is the identity of the type, as that of a
// trampoline is the identity of a call. Values; any thread.

#include <cstdint>
#include <exception>
#include <span>
#include <string>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {

struct Origin;

namespace detail {

// One request to the function of a type. It may throw what the type's own code throws.
struct ExceptionOperation {
  enum class Kind : std::uint8_t {
    save,  // if `error` is one of the type, appends its value to `output`
    load,  // makes `error` of `input`, `text` and `origin`
    kind   // makes `error` a pointer to nothing of the type: what catches that catches the type
  };

  Kind kind = Kind::save;
  bool matches = false;  // save: set
  Bytes* output = nullptr;
  std::span<std::byte const> input{};
  std::string const* text = nullptr;  // of what(), over there
  Origin const* origin = nullptr;
  std::exception_ptr error{};
};

using ExceptionFunction = void (*)(ExceptionOperation&);

// For a host of a cluster, which was told of functions that live for as long as its engine.
struct ExceptionTypesAccess;

}  // namespace detail

/// Made by exception_types<...>().
class ExceptionTypes {
 public:
  /// None.
  ExceptionTypes() = default;

  std::span<detail::ExceptionFunction const> functions() const noexcept { return functions_; }
  /// The same types.
  PROCPOOL_API bool operator==(ExceptionTypes const& other) const noexcept;

 private:
  template <class... Es>
  friend constexpr ExceptionTypes exception_types() noexcept;
  friend struct detail::ExceptionTypesAccess;
  // Derived types before their bases. The functions live for ever.
  explicit constexpr ExceptionTypes(std::span<detail::ExceptionFunction const> functions) noexcept
      : functions_(functions) {}

  std::span<detail::ExceptionFunction const> functions_;
};

}  // namespace procpool::inline v0_1
