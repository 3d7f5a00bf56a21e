// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Plain structs: which types are taken for one, and their members. Compile-time only, but for the
// access to the members, which are structured bindings.

#include <cstddef>
#include <type_traits>
#include <utility>

#include <procpool/detail/codec/archive/member_count.hpp>

namespace procpool::inline v0_1::detail {

template <class T>
inline constexpr Counted counted = count_members<T>();

// A class without a serialized form of its own, whose members are open to everybody.
template <class T>
concept Aggregate =
    std::is_class_v<T> && std::is_aggregate_v<T> && !HasStdCodec<T> && !AsBytes<T> && !UserType<T>;

template <class T>
concept Plain = Aggregate<T> && counted<T>.makeup == Makeup::fields;

template <class T>
using declared_t = decltype(Bindings<counted<T>.count>::declared(std::declval<T&>()));

template <class T>
using fields_t = typename declared_t<T>::type;

// --- made of braces ------------------------------------------------------------------------------

// What stands in the braces that make a T of its parts: its members, but of an array the elements
// (an array is no expression's value; the braces around it are left out).
template <class Done, class... Rest>
struct BraceParts {
  using type = Done;
};
template <class... Done, class First, class... Rest>
struct BraceParts<Types<Done...>, First, Rest...> {
  using type = typename BraceParts<Types<Done..., std::remove_cv_t<First>>, Rest...>::type;
};
template <class... Done, class E, std::size_t N, class... Rest>
struct BraceParts<Types<Done...>, E[N], Rest...> {
  template <std::size_t... I>
  static auto elements(std::index_sequence<I...>)
      -> BraceParts<Types<Done...>, Repeated<E, I>..., Rest...>;
  using type = typename decltype(elements(std::make_index_sequence<N>{}))::type;
};
template <class Bases, class Fields>
struct BracePartsOf;
template <std::size_t... bases, class... Fields>
struct BracePartsOf<std::index_sequence<bases...>, Types<Fields...>>
    : BraceParts<Types<Repeated<EmptyBase, bases>...>, Fields...> {};

template <class T>
using brace_parts_t =
    typename BracePartsOf<std::make_index_sequence<counted<T>.empty_bases>, fields_t<T>>::type;

// An array of so many elements, at most, in such a struct.
inline constexpr std::size_t max_brace_parts = 256;

// --- use -----------------------------------------------------------------------------------------

// The result of the call with all members of a plain struct, in their order. Members that are
// bit-fields can be had by value, and as references to constants.
template <class T, class Call>
[[gnu::always_inline]] inline decltype(auto) with_fields(T& whole, Call&& call) {
  return Bindings<counted<std::remove_const_t<T>>.count>::with(whole, call);
}

}  // namespace procpool::inline v0_1::detail
