// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The serialized form of an argument or a result. Views and literals mean memory of this process,
// so they are sent as the values that they show. Everything else is sent as itself. Any thread;
// nothing is kept.

#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace procpool::inline v0_1 {
template <class T>
class Shared;
template <class T>
class SharedArray;
template <class T>
class SharedObject;
}  // namespace procpool::inline v0_1

namespace procpool::inline v0_1::detail {

template <class T>
struct SerializedForm {
  using type = T;
};
template <class C, class Tr>
struct SerializedForm<std::basic_string_view<C, Tr>> {
  using type = std::basic_string<C, Tr>;
};
template <>
struct SerializedForm<char const*> {
  using type = std::string;
};
template <>
struct SerializedForm<char*> {
  using type = std::string;
};
template <class T, std::size_t N>
struct SerializedForm<std::span<T, N>> {
  using type = std::vector<std::remove_const_t<T>>;
};

template <class T>
using serialized_t = typename SerializedForm<std::decay_t<T>>::type;

// A parameter through which the function would change its argument.
template <class P>
inline constexpr bool loses_change =
    std::is_lvalue_reference_v<P> && !std::is_const_v<std::remove_reference_t<P>>;

// If a reference to a base is wanted and an object of a derived class is given, that object is sent
// whole: cut down to its base it would behave differently in the worker.
template <class P, class Arg>
struct AsGiven {
  using type = P;
};
template <class P, class Arg>
concept DerivedFor = std::is_reference_v<P> && !std::is_same_v<P, Arg> &&
                     std::is_base_of_v<std::remove_cvref_t<P>, Arg>;
template <class B, class Arg>
  requires DerivedFor<B const&, std::remove_cvref_t<Arg>>
struct AsGiven<B const&, Arg> {
  using type = std::remove_cvref_t<Arg> const&;
};
template <class B, class Arg>
  requires DerivedFor<B&&, std::remove_cvref_t<Arg>>
struct AsGiven<B&&, Arg> {
  using type = std::remove_cvref_t<Arg>&&;
};

// A handle that is given for its value is sent as the handle, and becomes the value in the call.
template <class Arg>
struct ValueOf {
  using type = void;
};
template <class T>
struct ValueOf<Shared<T>> {
  using type = T;
};
template <class T>
struct ValueOf<SharedObject<T>> {
  using type = T;
};
template <class P, class Arg>
concept SharedFor =
    !loses_change<P> && (std::is_same_v<std::remove_cvref_t<P>, typename ValueOf<Arg>::type> ||
                         std::is_base_of_v<std::remove_cvref_t<P>, typename ValueOf<Arg>::type>);
template <class P, class Arg>
  requires SharedFor<P, std::remove_cvref_t<Arg>>
struct AsGiven<P, Arg> {
  using type = std::remove_cvref_t<Arg> const&;
};

// An array in shared memory that is given for a span is sent as the handle, which becomes a span of
// the shared elements in the call: what the function writes there is not lost.
template <class P, class Arg>
struct SpannedArray {
  static constexpr bool fits = false;
};
template <class U, class T>
struct SpannedArray<std::span<U>, SharedArray<T>> {
  static constexpr bool fits = std::is_convertible_v<T (*)[], U (*)[]>;
  using type = SharedArray<U> const&;
};
template <class P, class Arg>
concept SpanFor =
    !loses_change<P> && SpannedArray<std::remove_cvref_t<P>, std::remove_cvref_t<Arg>>::fits;
template <class P, class Arg>
  requires SpanFor<P, Arg>
struct AsGiven<P, Arg> {
  using type = typename SpannedArray<std::remove_cvref_t<P>, std::remove_cvref_t<Arg>>::type;
};

// Can a T be given for the parameter P?
template <class T, class P>
concept GivenAs =
    std::is_convertible_v<T, serialized_t<P>> || std::is_convertible_v<T, std::remove_cvref_t<P>> ||
    std::is_same_v<serialized_t<T>, serialized_t<P>>;

// The serialized form of a value for the parameter P. Converts as an argument would.
template <class P, class T>
serialized_t<P> to_serialized(T&& value) {
  using Form = serialized_t<P>;
  using Plain = std::remove_cvref_t<P>;
  if constexpr (std::is_arithmetic_v<Form> && std::is_convertible_v<T&&, Form>) {
    // As in a call, but without the warning that a narrowing argument would give in our header.
    return static_cast<Form>(std::forward<T>(value));
  } else if constexpr (std::is_convertible_v<T&&, Form>) {
    return std::forward<T>(value);
  } else if constexpr (std::is_convertible_v<T&&, Plain> && !std::is_same_v<Plain, Form> &&
                       !std::is_same_v<std::remove_cvref_t<T>, Plain>) {
    // By way of the view: an array given for a span.
    return to_serialized<P>(static_cast<Plain>(std::forward<T>(value)));
  } else if constexpr (requires { Form(value.begin(), value.end()); }) {
    return Form(value.begin(), value.end());
  } else {
    return Form(std::forward<T>(value));
  }
}

// The serialized form of what a call returns, for P.
template <class P, class Call>
serialized_t<P> serialized_result(Call const& call) {
  if constexpr (std::is_same_v<std::invoke_result_t<Call const&>, serialized_t<P>>) {
    return call();
  } else {
    return to_serialized<P>(call());
  }
}

// The same for encoding: a value that is its own serialized form is not copied.
template <class P, class T>
decltype(auto) as_serialized(T&& value) {
  if constexpr (std::is_same_v<std::remove_cvref_t<T>, serialized_t<P>>) {
    return std::as_const(value);
  } else {
    return to_serialized<P>(std::forward<T>(value));
  }
}

template <class T>
inline constexpr std::size_t fixed_extent = std::dynamic_extent;
template <class T, std::size_t N>
inline constexpr std::size_t fixed_extent<std::span<T, N>> = N;

// The decoded value as the parameter P wants it. If P is a value or an rvalue reference, the value
// is moved into the call. If P is a const reference, it refers to the value. If P is a view, it
// shows the value, which outlives the call.
template <class P, class Form>
decltype(auto) argument_view(Form& value) {
  using Plain = std::remove_cvref_t<P>;
  if constexpr (std::is_same_v<Plain, char const*>) {
    return value.c_str();
  } else if constexpr (std::is_same_v<Plain, char*>) {
    return value.data();
  } else if constexpr (!std::is_same_v<Plain, std::remove_const_t<Form>>) {
    if constexpr (fixed_extent<Plain> != std::dynamic_extent) {
      if (value.size() != fixed_extent<Plain>) {
        throw std::length_error("procpool: a span of " + std::to_string(fixed_extent<Plain>) +
                                " elements was given " + std::to_string(value.size()));
      }
    }
    return Plain(value);
  } else if constexpr (std::is_lvalue_reference_v<P> || std::is_const_v<Form>) {
    return std::as_const(value);
  } else {
    return std::move(value);
  }
}

}  // namespace procpool::inline v0_1::detail
