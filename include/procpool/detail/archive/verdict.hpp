#pragma once

// May a type travel, and if not, why? One verdict per type, found by walking its parts at compile
// time, and one readable sentence for a caller to fail with.

#include <concepts>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>

#include <procpool/detail/archive/associative.hpp>
#include <procpool/detail/archive/small_types.hpp>
#include <procpool/detail/archive/smart_pointers.hpp>

namespace procpool::inline v0::detail {

enum class Refusal {
  none,
  raw_pointer,
  function,
  reference,
  c_array,
  view,
  base_class,
  polymorphic,
  array_pointer,
  deleter,
  union_type,
  no_default,
  not_movable,
  not_trivial,
  no_way
};

// A refusal and the type, somewhere inside, that causes it.
template <Refusal R, class Culprit = void>
struct Verdict {
  static constexpr Refusal refusal = R;
  using culprit = Culprit;
};
using Fine = Verdict<Refusal::none>;

template <class T>
inline constexpr bool is_view = false;
template <class C, class Tr>
inline constexpr bool is_view<std::basic_string_view<C, Tr>> = true;
template <class T, std::size_t N>
inline constexpr bool is_view<std::span<T, N>> = true;

template <class T>
inline constexpr bool is_odd_unique = false;
template <class T, class D>
inline constexpr bool is_odd_unique<std::unique_ptr<T, D>> =
    !std::is_same_v<D, std::default_delete<T>>;

template <class T, class... Ts>
inline constexpr bool is_among = (std::is_same_v<T, Ts> || ...);

template <class T, class... Seen>
consteval auto judge();

template <class... Seen>
consteval auto judge_parts(Types<>) {
  return Fine{};
}

template <class... Seen, class First, class... Rest>
consteval auto judge_parts(Types<First, Rest...>) {
  using Here = decltype(judge<std::remove_cv_t<First>, Seen...>());
  if constexpr (Here::refusal != Refusal::none) {
    return Here{};
  } else {
    return decltype(judge_parts<Seen...>(Types<Rest...>{})){};
  }
}

template <class T>
inline constexpr bool is_behind = false;
template <class T>
inline constexpr bool is_behind<Behind<T>> = true;

template <class... Seen, class T>
consteval auto judge_behind(Behind<T>) {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_array_v<T> || std::is_void_v<T>) {
    return Verdict<Refusal::array_pointer, T>{};
  } else if constexpr (is_among<U, Seen...>) {
    return Fine{};
  } else if constexpr (UserType<U>) {
    return Fine{};
  } else if constexpr (std::is_polymorphic_v<U>) {
    return Verdict<Refusal::polymorphic, U>{};
  } else {
    return decltype(judge<U, Seen...>()){};
  }
}

// A struct that is made of its fields (it has const members, or no default constructor) must accept
// them from braces. One with a reference member does not.
template <class T, class... Fields>
consteval bool braces_make(Types<Fields...>) {
  return requires { T{std::declval<std::remove_cv_t<Fields>>()...}; };
}

template <class T, class... Seen>
consteval auto judge() {
  if constexpr (is_behind<T>) {
    return decltype(judge_behind<Seen...>(T{})){};
  } else if constexpr (is_among<T, Seen...>) {
    return Fine{};  // a type within itself: judged where it was met first
  } else if constexpr (std::is_reference_v<T>) {
    return Verdict<Refusal::reference, T>{};
  } else if constexpr (std::is_function_v<std::remove_pointer_t<T>> ||
                       std::is_member_pointer_v<T>) {
    return Verdict<Refusal::function, T>{};
  } else if constexpr (std::is_pointer_v<T> || std::is_null_pointer_v<T>) {
    return Verdict<Refusal::raw_pointer, T>{};
  } else if constexpr (std::is_array_v<T>) {
    return Verdict<Refusal::c_array, T>{};
  } else if constexpr (Scalar<T>) {
    return Fine{};
  } else if constexpr (AsBytes<T>) {
    return Verdict<std::is_trivially_copyable_v<T> ? Refusal::none : Refusal::not_trivial, T>{};
  } else if constexpr (HasStdCodec<T>) {
    return decltype(judge_parts<T, Seen...>(typename StdCodec<T>::Parts{})){};
  } else if constexpr (is_view<T>) {
    return Verdict<Refusal::view, T>{};
  } else if constexpr (is_odd_unique<T>) {
    return Verdict<Refusal::deleter, T>{};
  } else if constexpr (UserType<T>) {
    return Verdict<std::default_initializable<T> ? Refusal::none : Refusal::no_default, T>{};
  } else if constexpr (std::is_union_v<T>) {
    return Verdict<Refusal::union_type, T>{};
  } else if constexpr (AggregateWithBase<T>) {
    return Verdict<Refusal::base_class, T>{};
  } else if constexpr (Plain<T>) {
    using Parts = decltype(judge_parts<T, Seen...>(fields_t<T>{}));
    if constexpr (Parts::refusal == Refusal::none && !std::is_move_assignable_v<T> &&
                  !braces_make<T>(fields_t<T>{})) {
      return Verdict<Refusal::reference, T>{};
    } else {
      return Parts{};
    }
  } else {
    return Verdict<Refusal::no_way, T>{};
  }
}

template <class T>
consteval auto judge_whole() {
  using V = decltype(judge<std::remove_cv_t<T>>());
  if constexpr (V::refusal == Refusal::none && !std::move_constructible<std::remove_cv_t<T>>) {
    return Verdict<Refusal::not_movable, T>{};
  } else {
    return V{};
  }
}

template <class T>
using verdict_t = decltype(judge_whole<T>());

template <class T>
inline constexpr bool travels = verdict_t<T>::refusal == Refusal::none;

}  // namespace procpool::inline v0::detail
