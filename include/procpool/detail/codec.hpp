#pragma once

// The codec: values to bytes and back. Any thread, any number at once; each call works on its own
// message. encode that throws leaves the buffer as long as it was; decode that throws destroys what
// it had made. What travels and how is written in procpool/serialize.hpp.

#include <cstddef>
#include <span>
#include <type_traits>
#include <utility>

#include <boost/archive/archive_exception.hpp>

#include <procpool/detail/archive/load_pointers.hpp>
#include <procpool/detail/archive/save_pointers.hpp>
#include <procpool/detail/bytes.hpp>
#include <procpool/serialize.hpp>

namespace procpool::inline v0::detail {

// Appends the value.
template <class T>
void encode(Bytes& out, T const& value) {
  static_assert(assert_transmissible<T>());
  if constexpr (travels<T>) {
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

// Several values in a row, each encoded by its own call. Refers to the bytes, does not own them.
class Reader {
 public:
  explicit Reader(std::span<std::byte const> in) : in_(in) {}

  // The next value. After an exception the reader stands where it stood.
  template <class T>
  [[gnu::always_inline]] T read() {
    static_assert(assert_transmissible<T>());
    if constexpr (travels<T>) {
      if constexpr (bitwise<T> && std::is_trivially_copyable_v<T>) {
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

  // Throws SerializationError if bytes remain.
  void finish() const {
    if (!in_.empty()) refuse_trailing(in_.size());
  }

 private:
  template <class T>
  T read_from_source() {
    Source source(in_);
    try {
      return make_next<std::remove_cv_t<T>>(source);
    } catch (boost::archive::archive_exception const& error) {
      translate(error);
    }
  }

  // One variable, which is what is returned: see make_filled.
  template <class T>
  T make_next(Source& source) {
    T value = make_value<T>(source);
    in_ = in_.last(source.remaining());
    return value;
  }

  std::span<std::byte const> in_;
};

// The value of which these are all the bytes; anything else is a SerializationError.
template <class T>
T decode(std::span<std::byte const> in) {
  Reader reader(in);
  T value = reader.read<T>();
  reader.finish();
  return value;
}

}  // namespace procpool::inline v0::detail
