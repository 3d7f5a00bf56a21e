// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Source: where a message is read. Belongs to one thread for one message. The bytes may come from a
// process that has gone mad: every length is compared with what remains before it is believed, and
// nothing is reserved for bytes that are not there. It may even write to them while they are read:
// each is loaded once, and whatever is judged or used is the copy. Failures throw
// SerializationError; what had been made of the message so far belongs to the objects that were
// being filled.

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <type_traits>

#include <procpool/detail/codec/archive/failure.hpp>
#include <procpool/detail/codec/archive/sink.hpp>

namespace procpool::inline v0_1::detail {

class InputArchive;

struct DeleteInputArchive {
  PROCPOOL_API void operator()(InputArchive* archive) const noexcept;
};

// What was loaded from a message before this is not loaded again for what comes after it: for the
// compiler, the message may have changed.
inline void loaded_once() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

// The T that lies there, loaded once.
template <class T>
T load_once(std::byte const* from) noexcept {
  struct Raw {
    std::byte bytes[sizeof(T)];
  } raw;
  std::memcpy(raw.bytes, from, sizeof(T));
  if constexpr (sizeof(T) == sizeof(std::uint64_t) || sizeof(T) == sizeof(std::uint32_t)) {
    using Word =
        std::conditional_t<sizeof(T) == sizeof(std::uint64_t), std::uint64_t, std::uint32_t>;
    auto word = std::bit_cast<Word>(raw);
    asm("" : "+r"(word));  // in a register, and from there alone; cheaper than loaded_once()
    return std::bit_cast<T>(word);
  } else {
    loaded_once();
    return std::bit_cast<T>(raw);
  }
}

class Source {
 public:
  explicit Source(std::span<std::byte const> in)
      : cursor_(in.data()), end_(in.data() + in.size()) {}
  Source(Source const&) = delete;
  Source& operator=(Source const&) = delete;

  std::size_t remaining() const noexcept { return static_cast<std::size_t>(end_ - cursor_); }

  // For who copies these bytes before he looks at them.
  std::byte const* take(std::size_t bytes) {
    if (bytes > remaining()) refuse_truncated();
    auto const* place = cursor_;
    cursor_ += bytes;
    return place;
  }

  void read(void* to, std::size_t bytes) {
    auto const* from = take(bytes);
    if (bytes != 0) std::memcpy(to, from, bytes);
    loaded_once();
  }

  template <class T>
  T scalar() {
    return load_once<T>(take(sizeof(T)));
  }

  bool boolean() {
    auto const raw = scalar<std::uint8_t>();
    if (raw > 1) refuse_bool();
    return raw == 1;
  }

  // A number of elements of which each takes at least `least` bytes. With least == 0 the number is
  // only a claim: the caller charges for elements as they turn out to take nothing.
  std::size_t count(std::size_t least) {
    auto const elements = scalar<std::uint64_t>();
    if (least != 0 && elements > remaining() / least) refuse_length();
    if (least == 0 && elements > remaining() && elements - remaining() > weightless_limit) {
      refuse_length();
    }
    return static_cast<std::size_t>(elements);
  }

  void charge_weightless(std::size_t bytes) {
    if (bytes > weightless_limit - weightless_) refuse_weightless();
    weightless_ += bytes;
  }

  void refund_weightless(std::size_t bytes) noexcept { weightless_ -= bytes; }

  InputArchive& archive() { return archive_ ? *archive_ : make_archive(); }

  // What was decoded at `from` since `mark` has been moved to `to`: pointers later in the message
  // find it there.
  std::size_t mark() const noexcept { return archive_ ? objects() : 0; }
  void moved(std::size_t mark, void const* from, void* to, std::size_t bytes) {
    if (archive_) tell_moved(mark, from, to, bytes);
  }

  // What was decoded since `mark`, but for what lies in the bytes at `inside`, is about to go:
  // pointers to it are refused.
  void lost_outside(std::size_t mark, void const* inside, std::size_t bytes) {
    if (archive_) tell_lost(mark, inside, bytes);
  }

  Depth depth;

 private:
  PROCPOOL_API InputArchive& make_archive();
  PROCPOOL_API std::size_t objects() const noexcept;
  PROCPOOL_API void tell_moved(std::size_t mark, void const* from, void* to, std::size_t bytes);
  PROCPOOL_API void tell_lost(std::size_t mark, void const* inside, std::size_t bytes);

  std::byte const* cursor_;
  std::byte const* end_;
  std::size_t weightless_ = 0;
  std::unique_ptr<InputArchive, DeleteInputArchive> archive_;
};

}  // namespace procpool::inline v0_1::detail
