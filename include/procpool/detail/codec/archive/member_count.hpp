// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// How many members an aggregate has. Compile-time only. It is given braces of every length, `T{{},
// {}, {}}`: an empty pair makes a member of nearly every type, arrays too, and has the compiler
// look at nothing but default constructors. Only where a member cannot be made of that, something
// is put in its place that converts to anything.

#include <cstddef>
#include <type_traits>
#include <utility>

#include <procpool/detail/codec/archive/bindings.hpp>
#include <procpool/detail/codec/archive/traits.hpp>

namespace procpool::inline v0_1::detail {

// What is known of an aggregate.
enum class Makeup {
  fields,        // just members, which can be told one by one
  base,          // members in several classes, or in a base that is not plain
  union_member,  // one of its members is a union, with a name or without
  too_many,      // more members than max_fields
  uncountable
};

struct Counted {
  Makeup makeup;
  std::size_t count = 0;        // of members
  std::size_t empty_bases = 0;  // in front of them
};

// Stands for an empty base among what makes a struct of its parts.
struct EmptyBase {
  template <class B>
    requires(std::is_empty_v<B>)
  operator B() const {
    return B{};
  }
};

// --- what is put in the place of a member --------------------------------------------------------

// Clang takes some of them for used, where the struct is in an unnamed namespace.
#pragma GCC diagnostic push
#if defined(__clang__)
#pragma GCC diagnostic ignored "-Wundefined-internal"
#endif

// With the reference qualifier a constructor that takes anything (as that of std::optional) is the
// better one, instead of one as good.
template <class T>
struct Anything {
  template <class U>
    requires(!std::is_same_v<std::remove_cv_t<U>, T>)
  operator U() const&;
};

// The same for members that are references.
template <class T>
struct AnyLvalue {
  template <class U>
    requires(!std::is_same_v<std::remove_cv_t<U>, T>)
  operator U&() const&;
};
template <class T>
struct AnyRvalue {
  template <class U>
    requires(!std::is_same_v<std::remove_cv_t<U>, T>)
  operator U&&() const&;
};

template <class T>
struct AnyBase {
  template <class B>
    requires(std::is_base_of_v<B, T> && !std::is_same_v<B, T>)
  operator B() const&;
};

template <class T>
struct AnyEmptyBase {
  template <class B>
    requires(std::is_base_of_v<B, T> && !std::is_same_v<B, T> && std::is_empty_v<B>)
  operator B() const&;
};

// A base that has a form of its own is not taken apart.
template <class T>
struct AnyPlainBase {
  template <class B>
    requires(std::is_base_of_v<B, T> && !std::is_same_v<B, T> && std::is_aggregate_v<B> &&
             !HasStdCodec<B> && !AsBytes<B> && !UserType<B>)
  operator B() const&;
};

// The type of an anonymous union has no name, but can be deduced. A union that has a serialized
// form is a member as any other.
struct AnyUnion {
  template <class U>
    requires(std::is_union_v<U> && !AsBytes<U> && !UserType<U>)
  operator U() const&;
};

#pragma GCC diagnostic pop

// Who takes this takes everything (std::any), and so proves nothing by taking one of the above.
struct Stranger {};

template <class Probe, std::size_t>
using Repeated = Probe;

// --- counting ------------------------------------------------------------------------------------

// Do so many empty braces, and Next, make a T, or its base?
template <class T, bool of_base, std::size_t braces, class... Next>
consteval bool braces_do() {
  if constexpr (of_base) {
    return Bindings<braces>::template base_makes<T, Next...>;
  } else {
    return Bindings<braces>::template makes<T, Next...>;
  }
}

// The most empty braces that make a T, or its base: `low` do, more than `high` do not.
template <class T, bool of_base = false, std::size_t low = 0, std::size_t high = max_fields>
consteval std::size_t max_braces() {
  if constexpr (low == high) {
    return low;
  } else {
    constexpr auto middle = (low + high + 1) / 2;
    if constexpr (braces_do<T, of_base, middle>()) {
      return max_braces<T, of_base, middle, high>();
    } else {
      return max_braces<T, of_base, low, middle - 1>();
    }
  }
}

// Does a T come of a Probe for each of the indices, with what is between them?
template <class T, class Probe, class... Between, std::size_t... before, std::size_t... after>
consteval bool comes_of(std::index_sequence<before...>, std::index_sequence<after...>) {
  return requires {
    T{std::declval<Repeated<Probe, before>>()..., std::declval<Between>()...,
      std::declval<Repeated<Probe, after>>()...};
  };
}
template <class T, class Probe, std::size_t... before, std::size_t... after>
consteval bool comes_of_braces(std::index_sequence<before...>, std::index_sequence<after...>) {
  return requires {
    T{std::declval<Repeated<Probe, before>>()..., {}, std::declval<Repeated<Probe, after>>()...};
  };
}

// The most probes that make a T, where each element of an array takes one; 0: no number does.
template <class T, class Probe, std::size_t tried = 1, std::size_t good = 0>
consteval std::size_t max_probes() {
  if constexpr (tried > 2 * max_fields) {
    return good;
  } else if constexpr (comes_of<T, Probe>(std::make_index_sequence<tried>{},
                                          std::index_sequence<>{})) {
    return max_probes<T, Probe, tried + 1, tried>();
  } else if constexpr (good != 0) {
    return good;
  } else {
    return max_probes<T, Probe, tried + 1>();
  }
}

// How many of so many probes the member takes whose first one is that at `at`: several if it is an
// array.
template <class T, class Probe, std::size_t probes, std::size_t at, std::size_t taken = 1>
consteval std::size_t probes_taken() {
  if constexpr (at + taken > probes) {
    return 1;
  } else if constexpr (comes_of_braces<T, Probe>(std::make_index_sequence<at>{},
                                                 std::make_index_sequence<probes - at - taken>{})) {
    return taken;
  } else {
    return probes_taken<T, Probe, probes, at, taken + 1>();
  }
}

// Is what takes the probe at `at` of the kind that Wanted asks for?
template <class T, class Probe, class Wanted, std::size_t probes, std::size_t at>
consteval bool is_at() {
  using Before = std::make_index_sequence<at>;
  using After = std::make_index_sequence<probes - at - 1>;
  return comes_of<T, Probe, Wanted>(Before{}, After{}) &&
         !comes_of<T, Probe, Stranger>(Before{}, After{});
}

template <class T, class Probe, std::size_t probes, std::size_t at = 0, std::size_t members = 0>
consteval Counted count_by_probes() {
  if constexpr (at == probes) {
    return {members <= max_fields ? Makeup::fields : Makeup::too_many, members};
  } else if constexpr (is_at<T, Probe, AnyUnion, probes, at>()) {
    return {Makeup::union_member};
  } else {
    return count_by_probes<T, Probe, probes, at + probes_taken<T, Probe, probes, at>(),
                           members + 1>();
  }
}

// Is there one more member than so many probes make?
template <class T, class Probe, std::size_t probes>
consteval bool goes_on() {
  using All = std::make_index_sequence<probes>;
  return comes_of<T, Probe, Anything<T>>(All{}, std::index_sequence<>{}) ||
         comes_of<T, Probe, AnyLvalue<T>>(All{}, std::index_sequence<>{}) ||
         comes_of<T, Probe, AnyRvalue<T>>(All{}, std::index_sequence<>{});
}

// By the first kind of probe that makes all members.
template <class T>
consteval Counted count_by_any_probes() {
  return {Makeup::uncountable};
}
template <class T, class Probe, class... Others>
consteval Counted count_by_any_probes() {
  constexpr auto probes = max_probes<T, Probe>();
  if constexpr (probes == 0 || goes_on<T, Probe, probes>()) {
    return count_by_any_probes<T, Others...>();
  } else if constexpr (is_at<T, Probe, AnyBase<T>, probes, 0>()) {
    return {Makeup::base};
  } else {
    return count_by_probes<T, Probe, probes>();
  }
}

// Is what comes after so many empty braces of the kind that Wanted asks for?
template <class T, class Wanted, std::size_t braces, bool of_base = false>
consteval bool is_after() {
  if constexpr (braces_do<T, of_base, braces, Wanted>()) {
    return !braces_do<T, of_base, braces, Stranger>();
  } else {
    return false;
  }
}

template <class T, bool of_base, std::size_t... I>
consteval bool has_union(std::index_sequence<I...>) {
  return (is_after<T, AnyUnion, I, of_base>() || ...);
}

// So many empty braces make a T or its base: are these all of its members?
template <class T, bool of_base, std::size_t braces>
consteval Counted count_by_braces() {
  if constexpr (has_union<T, of_base>(std::make_index_sequence<braces>{})) {
    return {Makeup::union_member};
    // NOLINTNEXTLINE(misc-redundant-expression): the arguments differ
  } else if constexpr (braces_do<T, of_base, braces, Anything<T>>() ||
                       braces_do<T, of_base, braces, AnyLvalue<T>>() ||
                       braces_do<T, of_base, braces, AnyRvalue<T>>()) {
    // The next member cannot be made of braces, or is one too many.
    return {braces == max_fields ? Makeup::too_many : Makeup::uncountable};
  } else {
    return {Makeup::fields, braces};
  }
}

template <class T, std::size_t bases = 0>
consteval std::size_t count_bases() {
  if constexpr (bases == max_fields) {
    return bases;
  } else if constexpr (is_after<T, AnyBase<T>, bases>()) {
    return count_bases<T, bases + 1>();
  } else {
    return bases;
  }
}

template <class T, std::size_t... I>
consteval bool are_empty_bases(std::index_sequence<I...>) {
  return (is_after<T, AnyEmptyBase<T>, I>() && ...);
}

// With base classes: the members can be told if all of them are in one class, which is the struct
// itself or its only base.
template <class T>
consteval Counted count_with_bases() {
  constexpr auto bases = count_bases<T>();
  constexpr auto braces = max_braces<T>();
  // (g++ 12 takes T{} for fine also if an empty base has no default constructor.)
  if constexpr (braces < bases) {
    return {Makeup::base};
  } else if constexpr (are_empty_bases<T>(std::make_index_sequence<bases>{})) {
    constexpr auto all = count_by_braces<T, false, braces>();
    return {all.makeup, braces - bases, bases};
  } else if constexpr (bases == 1 && braces == 1 && is_after<T, AnyPlainBase<T>, 0>() &&
                       !is_after<T, AnyBase<T>, 0, true>()) {
    return count_by_braces<T, true, max_braces<T, true>()>();
  } else {
    return {Makeup::base};
  }
}

template <class T>
consteval Counted count_members() {
  if constexpr (!Bindings<0>::makes<T>) {
    return count_by_any_probes<T, Anything<T>, AnyLvalue<T>, AnyRvalue<T>>();
  } else if constexpr (is_after<T, AnyBase<T>, 0>()) {
    return count_with_bases<T>();
  } else {
    constexpr auto counted = count_by_braces<T, false, max_braces<T>()>();
    if constexpr (counted.makeup == Makeup::uncountable) {
      return count_by_any_probes<T, Anything<T>, AnyLvalue<T>, AnyRvalue<T>>();
    } else {
      return counted;
    }
  }
}

}  // namespace procpool::inline v0_1::detail
