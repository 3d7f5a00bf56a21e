#pragma once

// The bare path: how a value is written and read without classes, versions or tracking. Dispatches
// by kind of type; std types are handled by their StdCodec, users' own types by user.hpp. Runs on
// the thread that encodes or decodes; failures throw, see sink.hpp and source.hpp.

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <procpool/detail/archive/layout.hpp>
#include <procpool/detail/archive/sink.hpp>
#include <procpool/detail/archive/source.hpp>

namespace procpool::inline v0::detail {

// Defined in user.hpp, where Boost's machinery is known.
template <class T>
void save_user(Sink& out, T const& value);
template <class T>
void load_user(Source& in, T& value);

template <class T>
void save_value(Sink& out, T const& value);
template <class T>
void load_value(Source& in, T& value);
template <class T>
T make_value(Source& in);

template <class T>
void refuse_type();  // a static assertion, see assert.hpp

// --- types that are nothing but their bytes ------------------------------------------------------

template <class T>
void check_bytes(std::byte const* raw, T const& place);

template <class Part, class Whole>
void check_part(std::byte const* raw, Whole const& whole, Part const& part) {
  auto const offset = reinterpret_cast<std::byte const*>(std::addressof(part)) -
                      reinterpret_cast<std::byte const*>(std::addressof(whole));
  check_bytes<std::remove_cv_t<Part>>(raw + offset, part);
}

// A bool that is neither 0 nor 1 must never come to exist, so the bytes (a copy of the message's) are
// judged before they are copied into `place` (which only tells where the parts lie).
template <class T>
void check_bytes(std::byte const* raw, T const& place) {
  if constexpr (!has_domain<T>()) {
    return;
  } else if constexpr (Scalar<T>) {
    if (std::to_integer<unsigned>(*raw) > 1) {
      refuse("procpool: a bool in a message is neither 0 nor 1");
    }
  } else if constexpr (std::is_bounded_array_v<T>) {
    for (auto const& element : place) check_part(raw, place, element);
  } else if constexpr (Plain<T>) {
    with_fields(place, [&](auto const&... field) { (check_part(raw, place, field), ...); });
  } else {
    StdCodec<T>::each_part(place, [&](auto const& part) { check_part(raw, place, part); });
  }
}

template <class T>
void load_bytes(Source& in, T& value) {
  if constexpr (!has_domain<T>()) {
    in.read(static_cast<void*>(std::addressof(value)), sizeof(T));
  } else {
    constexpr std::size_t most_on_the_stack = 4096;
    std::conditional_t<sizeof(T) <= most_on_the_stack, std::array<std::byte, sizeof(T)>,
                       std::vector<std::byte>>
        raw{};
    if constexpr (sizeof(T) > most_on_the_stack) raw.resize(sizeof(T));
    in.read(raw.data(), sizeof(T));
    check_bytes(raw.data(), std::as_const(value));
    std::memcpy(static_cast<void*>(std::addressof(value)), raw.data(), sizeof(T));
  }
}

// --- dispatch ------------------------------------------------------------------------------------

inline constexpr std::size_t long_double_bytes =
    std::numeric_limits<long double>::digits == 64 ? 10 : sizeof(long double);

template <class T>
void save_value(Sink& out, T const& value) {
  if constexpr (fixed_size<T> != 0) {
    out.write(std::addressof(value), sizeof(T));
  } else if constexpr (std::is_same_v<T, long double>) {
    out.write(&value, long_double_bytes);
  } else if constexpr (std::is_bounded_array_v<T>) {
    for (auto const& element : value) save_value(out, element);
  } else if constexpr (HasStdCodec<T>) {
    StdCodec<T>::save(out, value);
  } else if constexpr (UserType<T>) {
    save_user(out, value);
  } else if constexpr (Plain<T>) {
    with_fields(value, [&]<class... Fields>(Fields const&... field) {
      (save_value<std::remove_cv_t<Fields>>(out, field), ...);
    });
  } else {
    refuse_type<T>();
  }
}

template <class T>
void load_value(Source& in, T& value) {
  if constexpr (!fills_in_place<T>()) {
    static_assert(std::is_move_assignable_v<T>,
                  "procpool: an object with const members cannot be loaded over an existing one: "
                  "drop the const, or write serialize");
    value = make_value<T>(in);
  } else if constexpr (fixed_size<T> != 0) {
    load_bytes(in, value);
  } else if constexpr (std::is_same_v<T, long double>) {
    value = 0;
    in.read(&value, long_double_bytes);
  } else if constexpr (std::is_bounded_array_v<T>) {
    for (auto& element : value) load_value(in, element);
  } else if constexpr (HasStdCodec<T>) {
    StdCodec<T>::load(in, value);
  } else if constexpr (UserType<T>) {
    load_user(in, value);
  } else if constexpr (Plain<T>) {
    with_fields(value, [&](auto&... field) { (load_value(in, field), ...); });
  } else {
    refuse_type<T>();
  }
}

template <class T>
T make_value(Source& in) {
  static_assert(std::is_same_v<T, std::remove_cv_t<T>>);
  if constexpr (fills_in_place<T>()) {
    static_assert(std::default_initializable<T>,
                  "procpool: this type has its own serialize but no default constructor, so that "
                  "nothing is there to load into: add one, or send it behind a std::unique_ptr "
                  "with load_construct_data");
    T value = T();
    load_value(in, value);
    return value;
  } else if constexpr (bitwise<T> && std::is_trivially_copyable_v<T>) {
    struct Raw {
      std::byte bytes[sizeof(T)];
    } raw;
    in.read(raw.bytes, sizeof(T));
    return std::bit_cast<T>(raw);
  } else if constexpr (HasStdCodec<T>) {
    return StdCodec<T>::make(in);
  } else if constexpr (Plain<T>) {
    // Braces evaluate from left to right, as the fields were written.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-braces"
    return [&]<class... Parts>(Types<Parts...>) {
      return T{make_value<Parts>(in)...};
    }(brace_parts_t<T>{});
#pragma GCC diagnostic pop
  } else {
    refuse_type<T>();
    throw 0;  // never compiled into anything: the line above does not compile
  }
}

}  // namespace procpool::inline v0::detail
