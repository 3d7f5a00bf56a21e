// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Braces and structured bindings for every number of members up to max_fields, for fields.hpp.
// There is no way to write "so many names" but to write them: the macros do, and are gone at the
// end. Kept short, because every user's source reads all of it: one function per use, nothing but
// lists in it.

#include <cstddef>
#include <utility>

namespace procpool::inline v0_1::detail {

template <class... Ts>
struct Types {};

// The members' types, as they were declared, and whether one of them is a bit-field.
template <class Members, bool has_bit_fields>
struct DeclaredMembers {
  using type = Members;
  static constexpr bool bit_fields = has_bit_fields;
};

void take_pointers(auto const*...);

inline constexpr std::size_t max_fields = 104;

// makes: a T comes of so many empty braces, and of what is put in the places of the next members;
// base_makes: the first base of a T does; declared: DeclaredMembers of a T with so many members; with: a call with the members themselves.
template <std::size_t members>
struct Bindings;

template <>
struct Bindings<0> {
  template <class T, class... Next>
  static constexpr bool makes = requires { T{std::declval<Next>()...}; };
  template <class T, class... Next>
  static constexpr bool base_makes = requires { T{{std::declval<Next>()...}}; };
  template <class T>
  static auto declared(T&) {
    return DeclaredMembers<Types<>, false>{};
  }
  template <class T, class Call>
  [[gnu::always_inline]] static decltype(auto) with(T&, Call& call) {
    return call();
  }
};

// clang-format off
// Lists by digits to the base of eight, x(digit, digit) each: UPTO the last digit, after EIGHTS. No
// list stands on a shorter one: GCC keeps the tokens of each level of an expansion.
#define PROCPOOL_UPTO_1(x, t) x(t, 0)
#define PROCPOOL_UPTO_2(x, t) x(t, 0), x(t, 1)
#define PROCPOOL_UPTO_3(x, t) x(t, 0), x(t, 1), x(t, 2)
#define PROCPOOL_UPTO_4(x, t) x(t, 0), x(t, 1), x(t, 2), x(t, 3)
#define PROCPOOL_UPTO_5(x, t) x(t, 0), x(t, 1), x(t, 2), x(t, 3), x(t, 4)
#define PROCPOOL_UPTO_6(x, t) x(t, 0), x(t, 1), x(t, 2), x(t, 3), x(t, 4), x(t, 5)
#define PROCPOOL_UPTO_7(x, t) x(t, 0), x(t, 1), x(t, 2), x(t, 3), x(t, 4), x(t, 5), x(t, 6)
#define PROCPOOL_UPTO_8(x, t) x(t, 0), x(t, 1), x(t, 2), x(t, 3), x(t, 4), x(t, 5), x(t, 6), x(t, 7)
#define PROCPOOL_EIGHTS_0(x)
#define PROCPOOL_EIGHTS_1(x) PROCPOOL_UPTO_8(x, 0),
#define PROCPOOL_EIGHTS_2(x) PROCPOOL_UPTO_8(x, 0), PROCPOOL_UPTO_8(x, 1),
#define PROCPOOL_EIGHTS_3(x) PROCPOOL_UPTO_8(x, 0), PROCPOOL_UPTO_8(x, 1), PROCPOOL_UPTO_8(x, 2),
#define PROCPOOL_EIGHTS_4(x) PROCPOOL_UPTO_8(x, 0), PROCPOOL_UPTO_8(x, 1), PROCPOOL_UPTO_8(x, 2), PROCPOOL_UPTO_8(x, 3),
#define PROCPOOL_EIGHTS_5(x) \
  PROCPOOL_UPTO_8(x, 0), PROCPOOL_UPTO_8(x, 1), PROCPOOL_UPTO_8(x, 2), PROCPOOL_UPTO_8(x, 3), \
  PROCPOOL_UPTO_8(x, 4),
#define PROCPOOL_EIGHTS_6(x) \
  PROCPOOL_UPTO_8(x, 0), PROCPOOL_UPTO_8(x, 1), PROCPOOL_UPTO_8(x, 2), PROCPOOL_UPTO_8(x, 3), \
  PROCPOOL_UPTO_8(x, 4), PROCPOOL_UPTO_8(x, 5),
#define PROCPOOL_EIGHTS_7(x) \
  PROCPOOL_UPTO_8(x, 0), PROCPOOL_UPTO_8(x, 1), PROCPOOL_UPTO_8(x, 2), PROCPOOL_UPTO_8(x, 3), \
  PROCPOOL_UPTO_8(x, 4), PROCPOOL_UPTO_8(x, 5), PROCPOOL_UPTO_8(x, 6),
#define PROCPOOL_EIGHTS_8(x) \
  PROCPOOL_UPTO_8(x, 0), PROCPOOL_UPTO_8(x, 1), PROCPOOL_UPTO_8(x, 2), PROCPOOL_UPTO_8(x, 3), \
  PROCPOOL_UPTO_8(x, 4), PROCPOOL_UPTO_8(x, 5), PROCPOOL_UPTO_8(x, 6), PROCPOOL_UPTO_8(x, 7),
#define PROCPOOL_EIGHTS_9(x) \
  PROCPOOL_UPTO_8(x, 0), PROCPOOL_UPTO_8(x, 1), PROCPOOL_UPTO_8(x, 2), PROCPOOL_UPTO_8(x, 3), \
  PROCPOOL_UPTO_8(x, 4), PROCPOOL_UPTO_8(x, 5), PROCPOOL_UPTO_8(x, 6), PROCPOOL_UPTO_8(x, 7), \
  PROCPOOL_UPTO_8(x, 8),
#define PROCPOOL_EIGHTS_10(x) \
  PROCPOOL_UPTO_8(x, 0), PROCPOOL_UPTO_8(x, 1), PROCPOOL_UPTO_8(x, 2), PROCPOOL_UPTO_8(x, 3), \
  PROCPOOL_UPTO_8(x, 4), PROCPOOL_UPTO_8(x, 5), PROCPOOL_UPTO_8(x, 6), PROCPOOL_UPTO_8(x, 7), \
  PROCPOOL_UPTO_8(x, 8), PROCPOOL_UPTO_8(x, 9),
#define PROCPOOL_EIGHTS_11(x) \
  PROCPOOL_UPTO_8(x, 0), PROCPOOL_UPTO_8(x, 1), PROCPOOL_UPTO_8(x, 2), PROCPOOL_UPTO_8(x, 3), \
  PROCPOOL_UPTO_8(x, 4), PROCPOOL_UPTO_8(x, 5), PROCPOOL_UPTO_8(x, 6), PROCPOOL_UPTO_8(x, 7), \
  PROCPOOL_UPTO_8(x, 8), PROCPOOL_UPTO_8(x, 9), PROCPOOL_UPTO_8(x, 10),
#define PROCPOOL_EIGHTS_12(x) \
  PROCPOOL_UPTO_8(x, 0), PROCPOOL_UPTO_8(x, 1), PROCPOOL_UPTO_8(x, 2), PROCPOOL_UPTO_8(x, 3), \
  PROCPOOL_UPTO_8(x, 4), PROCPOOL_UPTO_8(x, 5), PROCPOOL_UPTO_8(x, 6), PROCPOOL_UPTO_8(x, 7), \
  PROCPOOL_UPTO_8(x, 8), PROCPOOL_UPTO_8(x, 9), PROCPOOL_UPTO_8(x, 10), PROCPOOL_UPTO_8(x, 11),
#define PROCPOOL_LIST(x, t, u) PROCPOOL_EIGHTS_##t(x) PROCPOOL_UPTO_##u(x, t)
#define PROCPOOL_BRACES(t, u) {}
#define PROCPOOL_NAME(t, u) m##t##_##u
#define PROCPOOL_TYPE(t, u) decltype(m##t##_##u)
#define PROCPOOL_ADDRESS(t, u) &m##t##_##u

// (A pack of names in a requires-expression must be in a function of its own for g++ 12.)
#define PROCPOOL_BINDINGS(t, u)                                                             \
  template <>                                                                               \
  struct Bindings<8 * t + u> {                                                              \
    template <class T, class... Next>                                                       \
    static constexpr bool makes =                                                           \
        requires { T{PROCPOOL_LIST(PROCPOOL_BRACES, t, u), std::declval<Next>()...}; };     \
    template <class T, class... Next>                                                       \
    static constexpr bool base_makes =                                                      \
        requires { T{{PROCPOOL_LIST(PROCPOOL_BRACES, t, u), std::declval<Next>()...}}; };   \
    template <class T>                                                                      \
    static auto declared(T& whole) {                                                        \
      auto& [PROCPOOL_LIST(PROCPOOL_NAME, t, u)] = whole;                                   \
      return DeclaredMembers<                                                               \
          Types<PROCPOOL_LIST(PROCPOOL_TYPE, t, u)>,                                        \
          !requires { take_pointers(PROCPOOL_LIST(PROCPOOL_ADDRESS, t, u)); }>{};           \
    }                                                                                       \
    template <class T, class Call>                                                          \
    [[gnu::always_inline]] static decltype(auto) with(T& whole, Call& call) {               \
      auto& [PROCPOOL_LIST(PROCPOOL_NAME, t, u)] = whole;                                   \
      return call(PROCPOOL_LIST(PROCPOOL_NAME, t, u));                                      \
    }                                                                                       \
  };
PROCPOOL_BINDINGS(0, 1) PROCPOOL_BINDINGS(0, 2) PROCPOOL_BINDINGS(0, 3) PROCPOOL_BINDINGS(0, 4)
PROCPOOL_BINDINGS(0, 5) PROCPOOL_BINDINGS(0, 6) PROCPOOL_BINDINGS(0, 7) PROCPOOL_BINDINGS(0, 8)
PROCPOOL_BINDINGS(1, 1) PROCPOOL_BINDINGS(1, 2) PROCPOOL_BINDINGS(1, 3) PROCPOOL_BINDINGS(1, 4)
PROCPOOL_BINDINGS(1, 5) PROCPOOL_BINDINGS(1, 6) PROCPOOL_BINDINGS(1, 7) PROCPOOL_BINDINGS(1, 8)
PROCPOOL_BINDINGS(2, 1) PROCPOOL_BINDINGS(2, 2) PROCPOOL_BINDINGS(2, 3) PROCPOOL_BINDINGS(2, 4)
PROCPOOL_BINDINGS(2, 5) PROCPOOL_BINDINGS(2, 6) PROCPOOL_BINDINGS(2, 7) PROCPOOL_BINDINGS(2, 8)
PROCPOOL_BINDINGS(3, 1) PROCPOOL_BINDINGS(3, 2) PROCPOOL_BINDINGS(3, 3) PROCPOOL_BINDINGS(3, 4)
PROCPOOL_BINDINGS(3, 5) PROCPOOL_BINDINGS(3, 6) PROCPOOL_BINDINGS(3, 7) PROCPOOL_BINDINGS(3, 8)
PROCPOOL_BINDINGS(4, 1) PROCPOOL_BINDINGS(4, 2) PROCPOOL_BINDINGS(4, 3) PROCPOOL_BINDINGS(4, 4)
PROCPOOL_BINDINGS(4, 5) PROCPOOL_BINDINGS(4, 6) PROCPOOL_BINDINGS(4, 7) PROCPOOL_BINDINGS(4, 8)
PROCPOOL_BINDINGS(5, 1) PROCPOOL_BINDINGS(5, 2) PROCPOOL_BINDINGS(5, 3) PROCPOOL_BINDINGS(5, 4)
PROCPOOL_BINDINGS(5, 5) PROCPOOL_BINDINGS(5, 6) PROCPOOL_BINDINGS(5, 7) PROCPOOL_BINDINGS(5, 8)
PROCPOOL_BINDINGS(6, 1) PROCPOOL_BINDINGS(6, 2) PROCPOOL_BINDINGS(6, 3) PROCPOOL_BINDINGS(6, 4)
PROCPOOL_BINDINGS(6, 5) PROCPOOL_BINDINGS(6, 6) PROCPOOL_BINDINGS(6, 7) PROCPOOL_BINDINGS(6, 8)
PROCPOOL_BINDINGS(7, 1) PROCPOOL_BINDINGS(7, 2) PROCPOOL_BINDINGS(7, 3) PROCPOOL_BINDINGS(7, 4)
PROCPOOL_BINDINGS(7, 5) PROCPOOL_BINDINGS(7, 6) PROCPOOL_BINDINGS(7, 7) PROCPOOL_BINDINGS(7, 8)
PROCPOOL_BINDINGS(8, 1) PROCPOOL_BINDINGS(8, 2) PROCPOOL_BINDINGS(8, 3) PROCPOOL_BINDINGS(8, 4)
PROCPOOL_BINDINGS(8, 5) PROCPOOL_BINDINGS(8, 6) PROCPOOL_BINDINGS(8, 7) PROCPOOL_BINDINGS(8, 8)
PROCPOOL_BINDINGS(9, 1) PROCPOOL_BINDINGS(9, 2) PROCPOOL_BINDINGS(9, 3) PROCPOOL_BINDINGS(9, 4)
PROCPOOL_BINDINGS(9, 5) PROCPOOL_BINDINGS(9, 6) PROCPOOL_BINDINGS(9, 7) PROCPOOL_BINDINGS(9, 8)
PROCPOOL_BINDINGS(10, 1) PROCPOOL_BINDINGS(10, 2) PROCPOOL_BINDINGS(10, 3) PROCPOOL_BINDINGS(10, 4)
PROCPOOL_BINDINGS(10, 5) PROCPOOL_BINDINGS(10, 6) PROCPOOL_BINDINGS(10, 7) PROCPOOL_BINDINGS(10, 8)
PROCPOOL_BINDINGS(11, 1) PROCPOOL_BINDINGS(11, 2) PROCPOOL_BINDINGS(11, 3) PROCPOOL_BINDINGS(11, 4)
PROCPOOL_BINDINGS(11, 5) PROCPOOL_BINDINGS(11, 6) PROCPOOL_BINDINGS(11, 7) PROCPOOL_BINDINGS(11, 8)
PROCPOOL_BINDINGS(12, 1) PROCPOOL_BINDINGS(12, 2) PROCPOOL_BINDINGS(12, 3) PROCPOOL_BINDINGS(12, 4)
PROCPOOL_BINDINGS(12, 5) PROCPOOL_BINDINGS(12, 6) PROCPOOL_BINDINGS(12, 7) PROCPOOL_BINDINGS(12, 8)
// clang-format on

#undef PROCPOOL_BINDINGS
#undef PROCPOOL_ADDRESS
#undef PROCPOOL_TYPE
#undef PROCPOOL_NAME
#undef PROCPOOL_BRACES
#undef PROCPOOL_LIST
#undef PROCPOOL_EIGHTS_0
#undef PROCPOOL_EIGHTS_1
#undef PROCPOOL_EIGHTS_2
#undef PROCPOOL_EIGHTS_3
#undef PROCPOOL_EIGHTS_4
#undef PROCPOOL_EIGHTS_5
#undef PROCPOOL_EIGHTS_6
#undef PROCPOOL_EIGHTS_7
#undef PROCPOOL_EIGHTS_8
#undef PROCPOOL_EIGHTS_9
#undef PROCPOOL_EIGHTS_10
#undef PROCPOOL_EIGHTS_11
#undef PROCPOOL_EIGHTS_12
#undef PROCPOOL_UPTO_1
#undef PROCPOOL_UPTO_2
#undef PROCPOOL_UPTO_3
#undef PROCPOOL_UPTO_4
#undef PROCPOOL_UPTO_5
#undef PROCPOOL_UPTO_6
#undef PROCPOOL_UPTO_7
#undef PROCPOOL_UPTO_8

}  // namespace procpool::inline v0_1::detail
