// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Values made where they stay. A struct of the user's may be larger than the stack that is left, so
// what is made for a container, a member or another object is constructed there, not moved there
// from a variable. Any thread; nothing is kept.

#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

namespace procpool::inline v0_1::detail {

// Of a value that has to lie somewhere else than where it stays.
inline constexpr std::size_t max_bytes_on_the_stack = 512;

// Does a T that is constructed from something convertible to T come from that conversion? Not if a
// constructor takes anything.
struct Foreign {};
template <class T>
concept TakesMaker =
    !std::is_constructible_v<T, Foreign> && !std::is_constructible_v<T, Foreign const&>;

// Converts to what `make` returns: a T that is constructed from this is made by the call, in its
// place.
template <class T, class Make>
struct MadeBy {
  Make const& make;
  operator T() const { return make(); }
};

// Of a large type that is trivially copyable a compiler lays what a call returns on the stack, and
// copies it from there to a place in memory (GCC, at all levels of optimization). So a blank one is
// made there, and filled.
template <class T, class Make>
concept MadeBlank = sizeof(T) > max_bytes_on_the_stack&& std::is_trivially_copyable_v<T>&& requires(
                                    Make const& make, T& blank) { make.fill(blank); };

// Constructs a T of what `make` returns: `put` constructs one from what it is given.
template <class T, class Make, class Put>
decltype(auto) put_made(Make const& make, Put const& put) {
  if constexpr (MadeBlank<T, Make>) {
    auto const made = std::make_unique<T>();
    make.fill(*made);
    return put(std::move(*made));
  } else if constexpr (TakesMaker<T>) {
    return put(MadeBy<T, Make>{make});
  } else if constexpr (sizeof(T) <= max_bytes_on_the_stack) {
    return put(T(make()));
  } else {
    std::unique_ptr<T> const made(new T(make()));
    return put(std::move(*made));
  }
}

// Hands what `make` returns to `use`.
template <class Make, class Use>
decltype(auto) with_result(Make const& make, Use const& use) {
  using Result = std::invoke_result_t<Make const&>;
  if constexpr (std::is_reference_v<Result>) {
    return use(make());
  } else if constexpr (sizeof(Result) <= max_bytes_on_the_stack) {
    return use(make());
  } else {
    std::unique_ptr<Result> const made(new Result(make()));
    return use(std::move(*made));
  }
}

// Values of several types, made in their order; a std::tuple promises neither that nor that they
// are not moved.
template <class... Ts>
class Row;

template <>
class Row<> {
 public:
  explicit Row(std::in_place_t) noexcept {}

  template <class Call>
  [[gnu::always_inline]] decltype(auto) apply(Call const& call) const {
    return call();
  }
};

template <class T, class... Ts>
class Row<T, Ts...> {
 public:
  // Of what each of these returns.
  template <class Make, class... Makes>
  [[gnu::always_inline]] explicit Row(std::in_place_t, Make const& make, Makes const&... makes)
      : first_(make()), rest_(std::in_place, makes...) {}
  template <class Make, class... Makes>
    requires MadeBlank<T, Make>
  explicit Row(std::in_place_t, Make const& make, Makes const&... makes)
      : first_(), rest_((make.fill(first_), std::in_place), makes...) {}

  template <class Call>
  [[gnu::always_inline]] decltype(auto) apply(Call const& call) {
    return rest_.apply([&](auto&... rest) -> decltype(auto) { return call(first_, rest...); });
  }
  template <class Call>
  [[gnu::always_inline]] decltype(auto) apply(Call const& call) const {
    return rest_.apply(
        [&](auto const&... rest) -> decltype(auto) { return call(first_, rest...); });
  }

 private:
  T first_;
  Row<Ts...> rest_;
};

}  // namespace procpool::inline v0_1::detail
