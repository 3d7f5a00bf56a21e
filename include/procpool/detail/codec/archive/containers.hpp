// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Sequences on the bare path: a 64-bit count, then the elements; arrays of bitwise
// elements as one block. While reading, a count is held against the bytes that remain before
// anything is reserved.

#include <cstddef>
#include <iterator>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <procpool/detail/codec/archive/functors.hpp>
#include <procpool/detail/codec/archive/std_shapes.hpp>
#include <procpool/detail/codec/archive/values.hpp>

namespace procpool::inline v0_1::detail {

// Elements that took no bytes are paid for by the budget of the message. One that is larger than
// all of that takes all of it.
template <class T>
inline constexpr std::size_t weight = std::min(sizeof(T), weightless_limit);

template <class T, class Load>
void load_counted(Source& in, Load load) {
  if constexpr (min_size<T>() != 0) {
    load();
  } else {
    // Charged before room is made for it, and released if it takes bytes after all.
    auto const before = in.remaining();
    in.charge_weightless(weight<T>);
    load();
    if (in.remaining() != before) in.refund_weightless(weight<T>);
  }
}

template <class T>
void save_counted(Sink& out, T const& value) {
  if constexpr (min_size<T>() != 0) {
    save_value(out, value);
  } else {
    auto const before = out.used();
    save_value(out, value);
    if (out.used() == before) out.charge_weightless(weight<T>);
  }
}

// How many elements to make room for at once. Elements with own serialize inside must stay where
// they are (pointers later in the message may refer to them); for others a claim may not multiply
// memory.
template <class T>
std::size_t room(Source const& in, std::size_t elements) {
  std::size_t most = elements;
  if constexpr (min_size<T>() == 0) {
    most = std::min(most, std::max(in.remaining(), weightless_limit / sizeof(T)));
  } else if constexpr (std::is_trivially_copyable_v<T> && sizeof(T) / min_size<T>() > 64) {
    most = std::min(most, in.remaining() / sizeof(T) + 1);
  }
  return most;
}

// Whether what a container is asked to construct is constructed as asked.
template <class Container>
inline constexpr bool emplaces_plainly =
    std::is_same_v<typename Container::allocator_type,
                   std::allocator<typename Container::value_type>>;

// Doubles a vector that is full and has elements since `mark`.
template <class Container>
void grow(Source& in, std::size_t mark, Container& value) {
  using T = typename Container::value_type;
  T const* const before = value.data();
  will_move(in, mark, before, value.size());
  value.reserve(std::max<std::size_t>(value.size() * 2, 8));
  has_moved<T>(in, mark, before, value.data(), value.size());
}

inline constexpr std::size_t max_bytes_at_once = 4096;

// Where the message is not aligned for the elements: by way of memory that is, which stays in the
// cache.
template <class Container>
void fill_by_and_by(Container& value, std::byte const* raw, std::size_t elements) {
  using T = typename Container::value_type;
  constexpr std::size_t at_once = max_bytes_at_once / sizeof(T);
  alignas(T) std::byte aligned[at_once * sizeof(T)];
  auto const* const first = reinterpret_cast<T const*>(aligned);
  value.reserve(elements);
  for (std::size_t done = 0; done < elements;) {
    std::size_t const some = std::min(at_once, elements - done);
    std::memcpy(aligned, raw + done * sizeof(T), some * sizeof(T));
    value.insert(value.end(), first, first + some);
    done += some;
  }
}

template <class Container>
unsigned bits_of_elements(Container const& value) {
  using T = typename Container::value_type;
  if constexpr (is_all_bools<T>()) {
    return bits_of_bytes(value.data(), value.size() * sizeof(T));
  } else {
    unsigned bits = 0;
    for (auto const& element : value) bits |= bits_of_bools(element);
    return bits;
  }
}

template <class Container>
void fill_block(Source& in, Container& value, std::size_t elements) {
  using T = typename Container::value_type;
  auto const bytes = elements * sizeof(T);  // cannot overflow: so many bytes are there
  auto const* raw = in.take(bytes);
  value.clear();
  if (bytes >= huge_from && value.capacity() < elements) {
    value.reserve(elements);
    advise_huge(static_cast<void*>(value.data()), bytes);
  }
  if constexpr (std::is_trivially_copyable_v<T> && sizeof(T) <= max_bytes_at_once) {
    // A range is put in without zeros being written first.
    if (reinterpret_cast<std::uintptr_t>(raw) % alignof(T) == 0) {
      auto const* first = reinterpret_cast<T const*>(raw);
      value.assign(first, first + elements);
    } else {
      fill_by_and_by(value, raw, elements);
    }
  } else {
    value.resize(elements);
    if (bytes != 0) std::memcpy(static_cast<void*>(value.data()), raw, bytes);
  }
  loaded_once();
  if constexpr (has_domain<T>()) {
    if (bits_of_elements(value) > 1) {
      if (bytes != 0) std::memset(static_cast<void*>(value.data()), 0, bytes);
      refuse_bool();
    }
  }
}

template <class Container>
struct SequenceCodec {
  using T = typename Container::value_type;
  using Parts = Types<T, Allocator<typename Container::allocator_type>>;
  static constexpr std::size_t least = sizeof(std::uint64_t);

  static void save(Sink& out, Container const& value) {
    Level level(out);
    out.count(static_cast<std::size_t>(std::distance(value.begin(), value.end())));
    for (auto const& element : value) save_counted<T>(out, element);
  }

  static void load(Source& in, Container& value) {
    Level level(in);
    auto const elements = in.count(min_size<T>());
    auto const mark = in.mark();
    value.clear();
    if constexpr (requires { value.reserve(elements); }) value.reserve(room<T>(in, elements));
    for (std::size_t i = 0; i < elements; ++i) {
      load_counted<T>(in, [&] {
        if constexpr (requires { value.capacity(); }) {
          if (value.size() == value.capacity()) grow(in, mark, value);
        }
        if constexpr (fills_in_place<T>()) {
          load_value(in, value.emplace_back());
        } else {
          put_value<T, emplaces_plainly<Container>>(in, [&](auto&& made) -> T const& {
            return value.emplace_back(std::forward<decltype(made)>(made));
          });
        }
      });
    }
  }
};

template <class Container>
struct BlockCodec {
  using T = typename Container::value_type;
  using Parts = Types<T, Allocator<typename Container::allocator_type>>;
  static constexpr std::size_t least = sizeof(std::uint64_t);

  static void save(Sink& out, Container const& value) {
    out.count(value.size());
    out.write(value.data(), value.size() * sizeof(T));
  }
  static void load(Source& in, Container& value) { fill_block(in, value, in.count(sizeof(T))); }
};

template <class C, class Tr, class A>
struct StdCodec<std::basic_string<C, Tr, A>> : BlockCodec<std::basic_string<C, Tr, A>> {};

// Whether the elements are bitwise is asked only in the bodies: a struct may hold a vector of
// itself.
template <class T, class A>
struct StdCodec<std::vector<T, A>> {
  using Parts = Types<T, Allocator<A>>;
  using Vector = std::vector<T, A>;
  static constexpr std::size_t least = sizeof(std::uint64_t);

  static void save(Sink& out, Vector const& value) {
    if constexpr (fixed_size<T> != 0) {
      BlockCodec<Vector>::save(out, value);
    } else if constexpr (std::is_same_v<T, long double>) {
      out.count(value.size());
      save_long_doubles(out, value.data(), value.size());
    } else {
      SequenceCodec<Vector>::save(out, value);
    }
  }
  static void load(Source& in, Vector& value) {
    if constexpr (fixed_size<T> != 0 && std::is_copy_assignable_v<T> &&
                  (std::is_trivially_copyable_v<T> || fills_in_place<T>())) {
      BlockCodec<Vector>::load(in, value);
    } else if constexpr (std::is_same_v<T, long double>) {
      value.resize(in.count(long_double_bytes));
      load_long_doubles(in, value.data(), value.size());
    } else {
      SequenceCodec<Vector>::load(in, value);
    }
  }
};

// Where the bits of a vector<bool> lie in words that can be reached, the first in the lowest bit of
// the first byte, as in a message: in libstdc++.
template <class Vector>
concept HasWords = std::endian::native == std::endian::little && requires(Vector& value) {
  { *value.begin()._M_p } -> std::same_as<unsigned long&>;
  value.begin()._M_offset;
};

template <class A>
struct StdCodec<std::vector<bool, A>> {
  using Parts = Types<Allocator<A>>;
  static constexpr std::size_t least = sizeof(std::uint64_t);

  using Vector = std::vector<bool, A>;

  static void save(Sink& out, Vector const& value) {
    out.count(value.size());
    if constexpr (HasWords<Vector>) {
      auto const whole = value.size() / 8;
      auto const* const bytes = reinterpret_cast<unsigned char const*>(value.begin()._M_p);
      out.write(bytes, whole);
      auto const rest = value.size() % 8;
      if (rest != 0) out.scalar(static_cast<unsigned char>(bytes[whole] & ((1u << rest) - 1)));
      return;
    }
    for (std::size_t i = 0; i < value.size(); i += 8) {
      unsigned byte = 0;
      auto const bits = std::min<std::size_t>(8, value.size() - i);
      for (std::size_t b = 0; b < bits; ++b) byte |= unsigned{value[i + b]} << b;
      out.scalar(static_cast<std::uint8_t>(byte));
    }
  }

  static void load(Source& in, Vector& value) {
    auto const bits = in.scalar<std::uint64_t>();
    if (bits / 8 + (bits % 8 != 0) > in.remaining()) refuse_length();
    value.assign(bits, false);
    if constexpr (HasWords<Vector>) {
      if (bits == 0) return;
      auto* const bytes = reinterpret_cast<unsigned char*>(value.begin()._M_p);
      in.read(bytes, bits / 8 + (bits % 8 != 0));
      if (bits % 8 != 0 && bytes[bits / 8] >> bits % 8 != 0) refuse_bits();
      return;
    }
    for (std::uint64_t i = 0; i < bits; i += 8) {
      unsigned const byte = in.scalar<std::uint8_t>();
      auto const count = std::min<std::uint64_t>(8, bits - i);
      for (std::uint64_t b = 0; b < count; ++b) value[i + b] = (byte >> b & 1) != 0;
      if (byte >> count != 0) refuse_bits();
    }
  }

 private:
  [[noreturn]] static void refuse_bits() {
    refuse("procpool: stray bits after a vector<bool> in a message");
  }
};

template <StdTwoEnded Container>
struct StdCodec<Container> : SequenceCodec<Container> {};

// As a vector of the same elements.
template <StdValarray Valarray>
struct StdCodec<Valarray> {
  using T = typename Valarray::value_type;
  using Parts = Types<T>;
  static constexpr std::size_t least = sizeof(std::uint64_t);

  static void save(Sink& out, Valarray const& value) {
    Level level(out);
    out.count(value.size());
    if (value.size() == 0) return;
    if constexpr (fixed_size<T> != 0) {
      out.write(std::addressof(value[0]), value.size() * sizeof(T));
    } else {
      for (std::size_t i = 0; i < value.size(); ++i) save_counted<T>(out, value[i]);
    }
  }
  static void load(Source& in, Valarray& value) {
    if constexpr (fixed_size<T> != 0) {
      auto const elements = in.count(sizeof(T));
      value.resize(elements);
      if (elements == 0) return;
      if constexpr (bitwise<T> && std::is_trivially_copyable_v<T>) {
        in.read(std::addressof(value[0]), elements * sizeof(T));
      } else {
        for (std::size_t i = 0; i < elements; ++i) load_value(in, value[i]);
      }
    } else {
      auto elements = make_value<std::vector<T>>(in);
      value.resize(elements.size());
      for (std::size_t i = 0; i < elements.size(); ++i) value[i] = std::move(elements[i]);
    }
  }
};

template <StdForwardList List>
struct StdCodec<List> : SequenceCodec<List> {
  using T = typename List::value_type;

  static void load(Source& in, List& value) {
    Level level(in);
    auto const elements = in.count(min_size<T>());
    value.clear();
    auto last = value.before_begin();
    for (std::size_t i = 0; i < elements; ++i) {
      load_counted<T>(in, [&] {
        if constexpr (fills_in_place<T>()) {
          load_value(in, *(last = value.emplace_after(last)));
        } else {
          put_value<T, emplaces_plainly<List>>(in, [&](auto&& made) -> T const& {
            return *(last = value.emplace_after(last, std::forward<decltype(made)>(made)));
          });
        }
      });
    }
  }
};

}  // namespace procpool::inline v0_1::detail
