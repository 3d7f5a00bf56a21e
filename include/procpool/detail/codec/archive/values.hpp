// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

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

#include <procpool/detail/codec/archive/layout.hpp>
#include <procpool/detail/codec/archive/sink.hpp>
#include <procpool/detail/codec/archive/source.hpp>
#include <procpool/detail/codec/in_place.hpp>

namespace procpool::inline v0_1::detail {

// Defined in user.hpp, where Boost's machinery is known.
template <class T>
void save_user(Sink& out, T const& value);
template <class T>
void load_user(Source& in, T& value);
template <class T>
void save_construction(Sink& out, T const& value);
template <class T>
T make_user(Source& in);  // of what save_construction and save_user have written

template <class T>
void save_value(Sink& out, T const& value);
template <class T>
void load_value(Source& in, T& value);
template <class T>
T make_value(Source& in);

template <class T>
void refuse_type();  // a static assertion, see assert.hpp

// Makes the next T in its final place. A T that is constructed from this, for example by emplace() of
// a container, is never moved, and never lies on the stack.
template <class T>
struct Maker {
  Source& in;
  operator T() const { return make_value<T>(in); }
};

// Elsewhere a value is made outside of its place and moved there.
template <class T, class Use>
void with_made(Source& in, Use use) {
  if constexpr (sizeof(T) <= max_bytes_on_the_stack) {
    T made = make_value<T>(in);
    use(made);
  } else {
    std::unique_ptr<T> const made(new T(make_value<T>(in)));
    use(*made);
  }
}

// What a move of a T leaves where it is: what lies outside of the T. A move that may throw is (of a
// const member, say) a copy, and nobody knows the places of what was copied: pointers to that are
// refused.
template <class T>
inline constexpr bool moves_faithfully =
    std::is_nothrow_move_constructible_v<T> &&
    (std::is_nothrow_move_assignable_v<T> || !std::is_move_assignable_v<T>);

// A T that was made since `mark` is about to be moved, ...
template <class T>
void will_move(Source& in, std::size_t mark, T const* made, std::size_t count = 1) {
  if constexpr (!moves_faithfully<T>) in.lost_outside(mark, made, sizeof(T) * count);
}

// ... and was.
template <class T>
void has_moved(Source& in, std::size_t mark, T const* from, T const* to, std::size_t count = 1) {
  in.moved(mark, from, const_cast<T*>(to), sizeof(T) * count);
}

// Puts the T that follows into a container, an optional, ...: `put` constructs one from what it is
// given and says where it is. `in_place` is false where the container's allocator has its own mind.
template <class T, bool in_place, class Put>
void put_value(Source& in, Put put) {
  if constexpr (in_place && TakesMaker<T>) {
    put(Maker<T>{in});
  } else {
    auto const mark = in.mark();
    with_made<T>(in, [&](T& made) {
      will_move(in, mark, std::addressof(made));
      T const& place = put(std::move(made));
      has_moved(in, mark, std::addressof(made), std::addressof(place));
    });
  }
}

// --- types that are nothing but their bytes ------------------------------------------------------

// Is every byte of a T a bool?
template <class T>
consteval bool is_all_bools() {
  if constexpr (std::is_bounded_array_v<T>) {
    return is_all_bools<std::remove_cv_t<std::remove_extent_t<T>>>();
  } else if constexpr (requires {
                         std::tuple_size<T>::value;
                         typename T::value_type;
                       }) {
    return fixed_size<T> != 0 && is_all_bools<std::remove_cv_t<typename T::value_type>>();
  } else {
    return is_boolean<T>();
  }
}

// All bytes of a block, one over the other.
inline unsigned bits_of_bytes(void const* block, std::size_t bytes) {
  constexpr std::size_t step = 4 * sizeof(std::uint64_t);
  auto const* at = static_cast<unsigned char const*>(block);
  std::array<std::uint64_t, 4> words{};
  for (; bytes >= step; at += step, bytes -= step) {
    std::array<std::uint64_t, 4> next;
    std::memcpy(next.data(), at, step);
    for (std::size_t i = 0; i < 4; ++i) words[i] |= next[i];
  }
  auto word = words[0] | words[1] | words[2] | words[3];
  for (; bytes != 0; ++at, --bytes) word |= *at;
  for (unsigned shift = 32; shift >= 8; shift /= 2) word |= word >> shift;
  return static_cast<unsigned char>(word);
}

// The bits that the bools in a value have, all of them together. A bool that is neither 0 nor 1
// must never be looked at as one, so they are read as what they are: bytes.
template <class T>
unsigned bits_of_bools(T const& value) {
  if constexpr (!has_domain<T>()) {
    return 0;
  } else if constexpr (!Scalar<T> && is_all_bools<T>()) {
    return bits_of_bytes(std::addressof(value), sizeof(T));
  } else if constexpr (Scalar<T>) {
    return *reinterpret_cast<unsigned char const*>(std::addressof(value));
  } else if constexpr (std::is_bounded_array_v<T>) {
    unsigned bits = 0;
    for (auto const& element : value) bits |= bits_of_bools(element);
    return bits;
  } else if constexpr (Plain<T>) {
    return with_fields(value,
                       [](auto const&... field) { return (bits_of_bools(field) | ... | 0u); });
  } else {
    unsigned bits = 0;
    StdCodec<T>::each_part(
        value, [&]<class Part>(Part const& part) { bits |= bits_of_bools<Part>(part); });
    return bits;
  }
}

template <class T>
void load_bytes(Source& in, T& value) {
  auto* const place = static_cast<void*>(std::addressof(value));
  in.read(place, sizeof(T));
  if constexpr (has_domain<T>()) {
    if (bits_of_bools(std::as_const(value)) > 1) {
      std::memset(place, 0, sizeof(T));  // which is a value
      refuse_bool();
    }
  }
}

// --- dispatch ------------------------------------------------------------------------------------

inline constexpr std::size_t long_double_bytes =
    std::numeric_limits<long double>::digits == 64 ? 10 : sizeof(long double);

// Side by side in memory, each with padding that is not written.
inline void save_long_doubles(Sink& out, long double const* from, std::size_t count) {
  auto* to = out.claim(count * long_double_bytes);
  for (std::size_t i = 0; i < count; ++i, to += long_double_bytes) {
    std::memcpy(to, from + i, long_double_bytes);
  }
}

inline void load_long_doubles(Source& in, long double* to, std::size_t count) {
  auto const* from = in.take(count * long_double_bytes);
  for (std::size_t i = 0; i < count; ++i, from += long_double_bytes) {
    std::memcpy(to + i, from, long_double_bytes);
  }
  loaded_once();
}

template <class T>
void save_value(Sink& out, T const& value) {
  static_assert(std::is_same_v<T, std::remove_cv_t<T>>);
  if constexpr (fixed_size<T> != 0) {
    out.write(std::addressof(value), sizeof(T));
  } else if constexpr (std::is_same_v<T, long double>) {
    out.write(&value, long_double_bytes);
  } else if constexpr (std::is_bounded_array_v<T>) {
    if constexpr (std::is_same_v<std::remove_extent_t<T>, long double>) {
      save_long_doubles(out, value, std::extent_v<T>);
    } else {
      for (auto const& element : value) save_value(out, element);
    }
  } else if constexpr (HasStdCodec<T>) {
    StdCodec<T>::save(out, value);
  } else if constexpr (UserType<T>) {
    if constexpr (ConstructedByUser<T>) save_construction(out, value);
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
    put_value<T, false>(in, [&](T&& made) -> T const& { return value = std::move(made); });
  } else if constexpr (fixed_size<T> != 0) {
    load_bytes(in, value);
  } else if constexpr (std::is_same_v<T, long double>) {
    value = 0;
    in.read(&value, long_double_bytes);
  } else if constexpr (std::is_bounded_array_v<T>) {
    if constexpr (std::is_same_v<std::remove_extent_t<T>, long double>) {
      load_long_doubles(in, value, std::extent_v<T>);
    } else {
      for (auto& element : value) load_value(in, element);
    }
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
consteval bool has_blank() {
  static_assert(std::default_initializable<T>,
                "procpool: this type has its own serialize but no default constructor, so that "
                "nothing is there to load into: add one, or write load_construct_data");
  return std::default_initializable<T>;
}

// Its one variable is what it returns, so that it lies where the caller wants it from the start:
// what is tracked in it has its true address.
template <class T>
T make_filled(Source& in) {
  static_assert(has_blank<T>());
  T value = T();
  load_value(in, value);
  return value;
}

template <class Part>
Part make_part(Source& in) {
  if constexpr (std::is_same_v<Part, EmptyBase>) {
    return {};
  } else {
    return make_value<Part>(in);
  }
}

template <class T>
T make_value(Source& in) {
  static_assert(std::is_same_v<T, std::remove_cv_t<T>>);
  if constexpr (fills_in_place<T>()) {
    return make_filled<T>(in);
  } else if constexpr (bitwise<T> && std::is_trivially_copyable_v<T>) {
    struct Raw {
      std::byte bytes[sizeof(T)];
    };
    if constexpr (sizeof(T) <= max_bytes_on_the_stack) {
      Raw raw;
      in.read(raw.bytes, sizeof(T));
      return std::bit_cast<T>(raw);
    } else {
      auto const raw = std::make_unique<Raw>();
      in.read(raw->bytes, sizeof(T));
      return std::bit_cast<T>(*raw);
    }
  } else if constexpr (HasStdCodec<T>) {
    return StdCodec<T>::make(in);
  } else if constexpr (UserType<T>) {
    return make_user<T>(in);
  } else if constexpr (Plain<T>) {
    // Braces evaluate from left to right, as the fields were written.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-braces"
#pragma GCC diagnostic ignored "-Wconversion"  // to a bit-field, of what one held
    return [&]<class... Parts>(Types<Parts...>) {
      return T{make_part<Parts>(in)...};
    }(brace_parts_t<T>{});
#pragma GCC diagnostic pop
  } else {
    refuse_type<T>();
    throw 0;  // never compiled into anything: the line above does not compile
  }
}

}  // namespace procpool::inline v0_1::detail
