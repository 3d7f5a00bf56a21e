// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// exception_types: the program's own exceptions that come back from workers as themselves:
//
//   procpool::ProcessPool pool{
//       {.exceptions = procpool::exception_types<my::ParseError, my::Error>()}};
//
// Any thread. If the code of a listed type throws on the way, only the value is lost: the exception
// then comes as one that is not listed.

#include <array>
#include <cstddef>
#include <exception>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/codec/exception_types.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0_1 {

namespace detail {

// The class has no members beside those of its standard base, so that only the text is sent.
template <class E>
inline constexpr bool is_only_a_text =
    (std::is_base_of_v<std::runtime_error, E> || std::is_base_of_v<std::logic_error, E>) &&
    sizeof(E) == sizeof(std::runtime_error) && sizeof(E) == sizeof(std::logic_error) &&
    std::is_constructible_v<E, std::string const&>;
template <class E>
inline constexpr bool is_only_a_name =
    std::is_base_of_v<std::exception, E> && sizeof(E) == sizeof(std::exception) &&
    std::is_default_constructible_v<E>;

// False if std::exception is a virtual base, or a base twice.
template <class E>
concept PlainException = std::is_convertible_v<E*, std::exception*> &&
                         requires(std::exception* base) { static_cast<E*>(base); };
template <class E>
inline constexpr bool may_have_origin =
    std::is_class_v<E> && !std::is_final_v<E> && !std::is_base_of_v<Origin, E>;

// A listed exception that is no standard one.
template <class E>
class WithOrigin : public E, public Origin {
 public:
  WithOrigin(E error, Origin origin) : E(std::move(error)), Origin(std::move(origin)) {}
};

template <class E>
std::exception_ptr pointer_to(E error) {
  if constexpr (std::is_copy_constructible_v<E>) {
    return std::make_exception_ptr(std::move(error));
  } else {
    try {
      throw std::move(error);
    } catch (E const&) {
      return std::current_exception();
    }
  }
}

template <class E>
std::exception_ptr as_itself(E error, ExceptionOperation const& operation) {
  if constexpr (may_have_origin<E> && PlainException<E>) {
    return pointer_to(FromWorker<E>(std::move(error), *operation.text, *operation.origin));
  } else if constexpr (may_have_origin<E> && !std::is_base_of_v<std::exception, E>) {
    return pointer_to(WithOrigin<E>(std::move(error), *operation.origin));
  } else {
    return pointer_to(std::move(error));
  }
}

template <class E>
bool save_exception(ExceptionOperation const& operation) {
  auto const object = caught(operation.error, typeid(E));
  if constexpr (Transmissible<E>) {
    if (object) encode<E>(*operation.output, *static_cast<E const*>(*object));
  }
  return object.has_value();
}

template <class E>
void load_exception(ExceptionOperation& operation) {
  auto const load = [&]() -> E {
    if constexpr (Transmissible<E>) {
      return decode<E>(operation.input);
    } else if constexpr (is_only_a_text<E>) {
      return E(*operation.text);
    } else {
      return E();
    }
  };
  operation.error = as_itself<E>(load(), operation);
}

template <class E>
void exception_function(ExceptionOperation& operation) {
  switch (operation.kind) {
    case ExceptionOperation::Kind::save: operation.matches = save_exception<E>(operation); break;
    case ExceptionOperation::Kind::load: load_exception<E>(operation); break;
    case ExceptionOperation::Kind::kind:
      operation.error = std::make_exception_ptr(static_cast<E const*>(nullptr));
      break;
  }
}

// Derived classes first: a class with more of the others as bases comes earlier.
template <class... Es>
consteval std::array<ExceptionFunction, sizeof...(Es)> in_order() {
  std::array<ExceptionFunction, sizeof...(Es)> functions{&exception_function<Es>...};
  auto const bases = []<class E>(std::type_identity<E>) {
    return (std::size_t{0} + ... + (std::is_base_of_v<Es, E> && !std::is_same_v<Es, E> ? 1 : 0));
  };
  std::array<std::size_t, sizeof...(Es)> depth{bases(std::type_identity<Es>{})...};
  for (std::size_t i = 1; i < functions.size(); ++i) {
    for (std::size_t j = i; j > 0 && depth[j - 1] < depth[j]; --j) {
      std::swap(depth[j - 1], depth[j]);
      std::swap(functions[j - 1], functions[j]);
    }
  }
  return functions;
}

template <class... Es>
inline constexpr std::array<ExceptionFunction, sizeof...(Es)> listed_functions = in_order<Es...>();

}  // namespace detail

/// For PoolOptions::exceptions. An exception of these types, or of a type derived from them, that a
/// task throws is thrown here as the nearest of them. Their order does not matter. They are sent as
/// any value (see serialize.hpp): a type with members needs its `serialize`. A type without members
/// beside those of a standard exception needs nothing, for example a std::runtime_error with
/// another name, made of a text. what() is the text in the worker. The exception is also an Origin,
/// unless its type is final, is no class, or has std::exception as a virtual base.
template <class... Es>
constexpr ExceptionTypes exception_types() noexcept {
  static_assert((std::is_same_v<Es, std::decay_t<Es>> && ...),
                "procpool: a type is listed by its name, without const and references");
  static_assert(
      ((Transmissible<Es> || detail::is_only_a_text<Es> || detail::is_only_a_name<Es>) && ...),
      "procpool: this exception has members that cannot be serialized by themselves: give it a "
      "`serialize`, "
      "and a default constructor, as any class that is sent by value");
  return ExceptionTypes(detail::listed_functions<Es...>);
}

}  // namespace procpool::inline v0_1
