// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The codec: values to bytes and back. Any thread, any number at once; each call works on its own
// message. encode that throws leaves the buffer as long as it was; decode that throws destroys what
// it had made. procpool/serialize.hpp lists the types and their forms.

#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include <boost/archive/archive_exception.hpp>

#include <procpool/detail/codec/archive/load_pointers.hpp>
#include <procpool/detail/codec/archive/save_pointers.hpp>
#include <procpool/detail/engine/bytes.hpp>
#include <procpool/serialize.hpp>

namespace procpool::inline v0_1::detail {

// Appends the value.
template <class T>
void encode(Bytes& out, T const& value) {
  static_assert(assert_transmissible<T>());
  if constexpr (serializable<T>) {
    if constexpr (fixed_size<T> != 0) {
      auto const start = out.size();
      out.resize(start + sizeof(T));
      std::memcpy(out.data() + start, std::addressof(value), sizeof(T));
    } else {
      Sink sink(out);
      try {
        save_value<T>(sink, value);
      } catch (boost::archive::archive_exception const& error) {
        translate(error);
      }
      sink.commit();
    }
  }
}

// Writes a value of fixed size to memory that has room for it, of any alignment.
template <class T>
  requires(fixed_size<T> != 0)
void encode_at(std::byte* place, T const& value) noexcept {
  std::memcpy(place, std::addressof(value), sizeof(T));
}

template <class T>
inline constexpr bool is_loaded_at_once =
    bitwise<T> && std::is_trivially_copyable_v<T> && sizeof(T) <= max_bytes_on_the_stack;

// Several values in a row, each encoded by its own call. Refers to the bytes, does not own them.
class Reader {
 public:
  explicit Reader(std::span<std::byte const> in) : in_(in) {}

  // The next value. After an exception the reader stands where it stood.
  template <class T>
  [[gnu::always_inline]] T read() {
    static_assert(assert_transmissible<T>());
    if constexpr (serializable<T>) {
      if constexpr (is_loaded_at_once<T>) {
        // Without a Source, which in the loop of a run would cost more than the call.
        if (in_.size() >= sizeof(T)) [[likely]] {
          auto const* const from = in_.data();
          in_ = in_.subspan(sizeof(T));
          return load_once<std::remove_cv_t<T>>(from);
        }
      }
      return read_from_source<T>();
    }
  }

  std::size_t remaining() const noexcept { return in_.size(); }

  // The next value, and that must be all: anything behind it is a SerializationError.
  template <class T>
  T read_last() {
    static_assert(assert_transmissible<T>());
    if constexpr (serializable<T>) {
      if constexpr (is_loaded_at_once<T>) {
        T value = read<T>();
        finish();
        return value;
      } else {
        return read_from_source<T>(true);
      }
    }
  }

  // The next value over a blank one.
  template <class T>
    requires(fills_in_place<T>())
  void fill(T& blank, bool last) {
    Source source(in_);
    try {
      load_value(source, blank);
    } catch (boost::archive::archive_exception const& error) {
      translate(error);
    }
    follow(source, last);
  }

  // Throws SerializationError if bytes remain.
  void finish() const {
    if (!in_.empty()) refuse_trailing(in_.size());
  }

 private:
  // One variable, which is what is returned: see make_filled. Nothing but its filling stands
  // between, or the compiler has another one of a type that is trivially copyable.
  template <class T>
  T read_from_source(bool last = false) {
    using Value = std::remove_cv_t<T>;
    if constexpr (fills_in_place<Value>()) {
      return make_blank<Value>(last);
    } else {
      Source source(in_);
      try {
        return make_whole<Value>(source, last);
      } catch (boost::archive::archive_exception const& error) {
        translate(error);
      }
    }
  }

  template <class T>
  T make_blank(bool last) {
    static_assert(has_blank<T>());
    T value = T();
    fill(value, last);
    return value;
  }

  template <class T>
  T make_whole(Source& source, bool last) {
    T value = make_value<T>(source);
    follow(source, last);
    return value;
  }

  void follow(Source const& source, bool last) {
    if (last && source.remaining() != 0) refuse_trailing(source.remaining());
    in_ = in_.last(source.remaining());
  }

  std::span<std::byte const> in_;
};

// The reader's next value, for who makes it where it stays: see in_place.hpp.
template <class T>
struct ReadNext {
  Reader& reader;

  [[gnu::always_inline]] T operator()() const { return reader.read<T>(); }
  void fill(T& blank) const
    requires(fills_in_place<T>())
  {
    reader.fill(blank, false);
  }
};

// The value of which these are all the bytes; anything else is a SerializationError.
template <class T>
T decode(std::span<std::byte const> in) {
  return Reader(in).read_last<T>();
}

// The same over a blank one, which is left as it may be if this throws.
template <class T>
void decode_over(std::span<std::byte const> in, T& blank) {
  Reader(in).fill(blank, true);
}

}  // namespace procpool::inline v0_1::detail
