// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// What a program that random_structs.py has written is made of: values at random, and what is the
// same as what. It knows each struct's members from the one who wrote it, not from the codec.

#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include <procpool/detail/codec/codec.hpp>

using Random = std::mt19937_64;

enum class Colour : unsigned char { red, green = 200 };
enum Old { one = 1, two };
struct Empty {};
struct Order {
  bool down = false;
  bool operator()(int a, int b) const { return down ? b < a : a < b; }
};
struct Packed {
  char a[3];
  unsigned b : 3;
  unsigned c : 20;
};

// Of each struct, from its writer: how many members there are, a call with them, one at random.
template <class T>
struct Members;

// --- one at random -------------------------------------------------------------------------------

template <class T>
std::remove_cv_t<T> make(Random& random);

template <class T, unsigned width>
T make_bits(Random& random) {
  return static_cast<T>(random() % (1ull << (width > 1 ? width - 1 : 1)));
}

template <class T>
concept Struct = requires { Members<T>::count; };
template <class T>
concept Keyed = requires { typename T::key_type; };
template <class T>
concept Listed = requires(T const& t) { t.begin(), t.end(); };

template <class T>
struct Make {
  static T at_random(Random& random) {
    if constexpr (std::is_same_v<T, bool>) {
      return random() % 2 == 0;
    } else if constexpr (std::is_arithmetic_v<T>) {
      return static_cast<T>(random() % 100);
    } else if constexpr (std::is_enum_v<T>) {
      return static_cast<T>(random() % 2 + 1);
    } else if constexpr (Struct<T>) {
      return Members<T>::make(random);
    } else if constexpr (Keyed<T>) {
      T made = empty(random);
      for (auto n = random() % 4; n > 0; --n) {
        if constexpr (requires { typename T::mapped_type; }) {
          made.emplace(make<typename T::key_type>(random), make<typename T::mapped_type>(random));
        } else {
          made.insert(make<typename T::key_type>(random));
        }
      }
      return made;
    } else if constexpr (requires(T& t) { t.insert_after(t.before_begin(), t.front()); }) {
      return T();
    } else {
      T made{};
      for (auto n = random() % 4; n > 0; --n) {
        made.push_back(make<typename T::value_type>(random));
      }
      return made;
    }
  }
  static T empty(Random& random) {
    if constexpr (requires { T(Order{true}); }) {
      return T(Order{random() % 2 == 0});
    } else {
      return T();
    }
  }
};
template <>
struct Members<Empty> {
  static constexpr std::size_t count = 0;
  static auto with(Empty const&, auto call) { return call(); }
  static Empty make(Random&) { return {}; }
};
template <>
struct Members<Order> {
  static constexpr std::size_t count = 1;
  static auto with(Order const& value, auto call) { return call(value.down); }
  static Order make(Random& random) { return {random() % 2 == 0}; }
};
template <>
struct Members<Packed> {
  static constexpr std::size_t count = 3;
  static auto with(Packed const& value, auto call) { return call(value.a, value.b, value.c); }
  static Packed make(Random& random) {
    return {{'a', 'b', make_bits<char, 7>(random)},
            make_bits<unsigned, 3>(random),
            make_bits<unsigned, 20>(random)};
  }
};
template <class T>
struct Make<std::forward_list<T>> {
  static std::forward_list<T> at_random(Random& random) {
    std::forward_list<T> made;
    for (auto n = random() % 4; n > 0; --n) made.push_front(make<T>(random));
    return made;
  }
};
template <>
struct Make<std::filesystem::path> {
  static std::filesystem::path at_random(Random& random) { return make<std::string>(random); }
};
template <class T, std::size_t N>
struct Make<std::array<T, N>> {
  static std::array<T, N> at_random(Random& random) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return std::array<T, N>{((void)I, make<T>(random))...};
    }(std::make_index_sequence<N>{});
  }
};
template <class T>
struct Make<std::optional<T>> {
  static std::optional<T> at_random(Random& random) {
    if (random() % 2 == 0) return std::nullopt;
    return std::optional<T>(std::in_place, make<T>(random));
  }
};
template <class... Ts>
struct Make<std::variant<Ts...>> {
  using Variant = std::variant<Ts...>;
  static Variant at_random(Random& random) {
    return one_of(random, random() % sizeof...(Ts), std::index_sequence_for<Ts...>{});
  }
  template <std::size_t First, std::size_t... Rest>
  static Variant one_of(Random& random, std::size_t which, std::index_sequence<First, Rest...>) {
    if constexpr (sizeof...(Rest) != 0) {
      if (which != First) return one_of(random, which, std::index_sequence<Rest...>{});
    }
    using T = std::variant_alternative_t<First, Variant>;
    return Variant(std::in_place_index<First>, make<T>(random));
  }
};
template <class A, class B>
struct Make<std::pair<A, B>> {
  static std::pair<A, B> at_random(Random& random) {
    return std::pair<A, B>(make<A>(random), make<B>(random));
  }
};
template <class... Ts>
struct Make<std::tuple<Ts...>> {
  static std::tuple<Ts...> at_random(Random& random) {
    return std::tuple<Ts...>{make<Ts>(random)...};
  }
};
template <>
struct Make<std::monostate> {
  static std::monostate at_random(Random&) { return {}; }
};
template <class R, class P>
struct Make<std::chrono::duration<R, P>> {
  static std::chrono::duration<R, P> at_random(Random& random) {
    return std::chrono::duration<R, P>(make<R>(random));
  }
};
template <class T>
struct Make<std::complex<T>> {
  static std::complex<T> at_random(Random& random) { return {make<T>(random), make<T>(random)}; }
};
template <std::size_t N>
struct Make<std::bitset<N>> {
  static std::bitset<N> at_random(Random& random) { return std::bitset<N>(random()); }
};
template <class T>
struct Make<std::unique_ptr<T>> {
  static std::unique_ptr<T> at_random(Random& random) {
    return random() % 2 == 0 ? nullptr : std::unique_ptr<T>(new T(make<T>(random)));
  }
};
template <class T>
struct Make<std::shared_ptr<T>> {
  static std::shared_ptr<T> at_random(Random& random) {
    return random() % 2 == 0 ? nullptr : std::shared_ptr<T>(new T(make<T>(random)));
  }
};
template <class T, class C, class Compare>
struct Make<std::priority_queue<T, C, Compare>> {
  static auto at_random(Random& random) {
    std::priority_queue<T, C, Compare> made(make<Compare>(random));
    for (auto n = random() % 4; n > 0; --n) made.push(make<T>(random));
    return made;
  }
};
template <class T>
struct Make<std::less<T>> {
  static std::less<T> at_random(Random&) { return {}; }
};

template <class T>
std::remove_cv_t<T> make(Random& random) {
  return Make<std::remove_cv_t<T>>::at_random(random);
}

// --- the same ------------------------------------------------------------------------------------

template <class T>
bool same(T const& a, T const& b);

template <class T>
struct Same {
  static bool same(T const& a, T const& b) {
    if constexpr (Struct<T>) {
      return Members<T>::with(a, [&](auto const&... as) {
        return Members<T>::with(b,
                                [&](auto const&... bs) { return (::same(as, bs) && ... && true); });
      });
    } else if constexpr (requires { typename T::hasher; }) {
      if (a.size() != b.size()) return false;
      for (auto const& [key, mapped] : a) {
        auto const there = b.find(key);
        if (there == b.end() || !::same(mapped, there->second)) return false;
      }
      return true;
    } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
      return a == b;
    } else if constexpr (Listed<T> || std::is_array_v<T>) {
      if constexpr (requires { a.key_comp().down; }) {
        if (a.key_comp().down != b.key_comp().down) return false;
      }
      auto there = std::begin(b);
      for (auto const& element : a) {
        if (there == std::end(b)) return false;
        using Element = std::remove_cvref_t<decltype(element)>;
        Element const& other = *there++;
        if (!::same<Element>(element, other)) return false;
      }
      return there == std::end(b);
    } else if constexpr (requires { a.top(); }) {
      T left = a, right = b;
      for (; !left.empty() && !right.empty(); left.pop(), right.pop()) {
        if (!::same(left.top(), right.top())) return false;
      }
      return left.empty() == right.empty();
    } else {
      return a == b;
    }
  }
};
template <class T>
struct Same<std::optional<T>> {
  static bool same(std::optional<T> const& a, std::optional<T> const& b) {
    return a.has_value() == b.has_value() && (!a || ::same(*a, *b));
  }
};
template <class T>
struct Same<std::unique_ptr<T>> {
  static bool same(std::unique_ptr<T> const& a, std::unique_ptr<T> const& b) {
    return (a == nullptr) == (b == nullptr) && (!a || ::same(*a, *b));
  }
};
template <class T>
struct Same<std::shared_ptr<T>> {
  static bool same(std::shared_ptr<T> const& a, std::shared_ptr<T> const& b) {
    return (a == nullptr) == (b == nullptr) && (!a || ::same(*a, *b));
  }
};
template <class A, class B>
struct Same<std::pair<A, B>> {
  static bool same(std::pair<A, B> const& a, std::pair<A, B> const& b) {
    return ::same(a.first, b.first) && ::same(a.second, b.second);
  }
};
template <class... Ts>
struct Same<std::tuple<Ts...>> {
  static bool same(std::tuple<Ts...> const& a, std::tuple<Ts...> const& b) {
    return [&]<std::size_t... I>(std::index_sequence<I...>) {
      return (::same(std::get<I>(a), std::get<I>(b)) && ... && true);
    }(std::index_sequence_for<Ts...>{});
  }
};
template <class... Ts>
struct Same<std::variant<Ts...>> {
  static bool same(std::variant<Ts...> const& a, std::variant<Ts...> const& b) {
    return a.index() == b.index() && one_of(a, b, std::index_sequence_for<Ts...>{});
  }
  template <std::size_t... I>
  static bool one_of(auto const& a, auto const& b, std::index_sequence<I...>) {
    return ((a.index() != I || ::same(*std::get_if<I>(&a), *std::get_if<I>(&b))) && ...);
  }
};

template <class T>
bool same(T const& a, T const& b) {
  return Same<T>::same(a, b);
}

// --- the check -----------------------------------------------------------------------------------

inline int checked = 0;
inline int wrong = 0;

template <class T>
[[gnu::noinline]] void check(char const* name, Random& random) {
  using namespace procpool::detail;
  static_assert(counted<T>.makeup == Makeup::fields && counted<T>.count == Members<T>::count);
  for (int round = 0; round < 5; ++round) {
    T const value = make<T>(random);
    Bytes bytes;
    ++checked;
    bool good = false;
    try {
      encode(bytes, value);
      good = same(value, decode<T>(bytes));
    } catch (procpool::SerializationError const& error) {
      std::printf("random structs: %s\n", error.what());
    }
    for (std::size_t length = 0; length < bytes.size(); length += 1 + bytes.size() / 50) {
      try {
        Bytes const cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length));
        (void)decode<T>(cut);
        good = false;
      } catch (procpool::SerializationError const&) {
      }
    }
    if (!good) {
      ++wrong;
      std::printf("random structs: %s does not arrive as it was sent\n", name);
    }
  }
}

inline int report() {
  std::printf("random structs: %d values, %d wrong\n", checked, wrong);
  return wrong == 0 ? 0 : 1;
}
