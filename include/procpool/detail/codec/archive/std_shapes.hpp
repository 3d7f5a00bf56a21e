// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Class templates of the standard library, recognized by name and shape. The codec supports many of
// them, and a source pays only for the headers that it includes itself. Compile-time only.

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace procpool::inline v0_1::detail {

// The compiler's text of a type: its name, with its namespaces, begins at name_begin.
template <class T>
consteval char const* text_of() {
  return __PRETTY_FUNCTION__;
}

consteval std::size_t begin_of_name(char const* text) {
  std::size_t at = 0;
  while (text[at] != '=') ++at;
  return at + 2;
}

inline constexpr std::size_t name_begin = begin_of_name(text_of<void>());

consteval bool begins_with(char const* text, char const* beginning) {
  while (*beginning != 0) {
    if (*text++ != *beginning++) return false;
  }
  return true;
}

template <class T>
inline constexpr bool is_of_std = begins_with(text_of<T>() + name_begin, "std::");

// A class of the standard library.
template <class T>
concept StdClass = std::is_class_v<T> && is_of_std<T>;

// set, map and their variants. Those without equal keys have an insert_return_type.
template <class T>
concept StdSet = StdClass<T> && requires {
  typename T::key_type;
  typename T::node_type;
} && !requires { typename T::mapped_type; };

template <class T>
concept StdMap = StdClass<T> && requires {
  typename T::key_type;
  typename T::mapped_type;
  typename T::node_type;
};

template <class T>
inline constexpr bool has_unique_keys = requires { typename T::insert_return_type; };

// deque and list.
template <class T>
concept StdTwoEnded = StdClass<T> && requires(T& value) {
  typename T::allocator_type;
  value.emplace_front();
  value.pop_back();
};

template <class T>
concept StdForwardList = StdClass<T> && requires(T& value) {
  typename T::allocator_type;
  value.before_begin();
};

template <class T>
concept StdAdaptor = StdClass<T> && requires(T& value) {
  typename T::container_type;
  value.pop();
};

template <class T>
concept StdPriorityQueue = StdAdaptor<T> && requires { typename T::value_compare; };

template <class T>
concept StdComplex = StdClass<T> && requires(T& value) {
  typename T::value_type;
  value.real();
  value.imag();
};

template <class T>
concept StdBitset = StdClass<T> && requires(T& value) {
  value.to_ullong();
  value.flip();
};

template <class T>
concept StdVariant = StdClass<T> && requires(T& value) { value.valueless_by_exception(); };

template <class T>
concept StdMonostate =
    StdClass<T> && std::is_empty_v<T> && begins_with(text_of<T>() + name_begin, "std::monostate");

template <class T>
concept StdAtomic = StdClass<T> && begins_with(text_of<T>() + name_begin, "std::atomic<");

template <class T>
concept StdValarray = StdClass<T> && begins_with(text_of<T>() + name_begin, "std::valarray<");

template <class T>
concept StdExpected = StdClass<T> && requires {
  typename T::value_type;
  typename T::error_type;
  typename T::unexpected_type;
};

template <class T>
concept StdErrorCode = StdClass<T> && requires(T& value) {
  value.category();
  value.assign(0, value.category());
};

// The types of <chrono> that make up a date.
template <class T>
concept StdCalendar = StdClass<T> && requires(T const& value) {
  requires begins_with(text_of<T>() + name_begin, "std::chrono::");
  { value.ok() } -> std::same_as<bool>;
};

// The engines and engine adaptors of <random>.
template <class T>
concept StdEngine = StdClass<T> && requires(T& value) {
  typename T::result_type;
  value.seed();
  value.discard(1);
};

template <class T>
concept StdPath = StdClass<T> && requires(T& value) {
  typename T::string_type;
  value.native();
  value.root_path();
};

}  // namespace procpool::inline v0_1::detail
