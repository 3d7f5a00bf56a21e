// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Sink: where a message is written. Belongs to one thread for one message. The Boost archive is
// made only when the first value needs it, and is then shared by the whole message so that pointers
// are tracked across it. If encoding throws, the buffer is as long as it was before.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>

#include <procpool/detail/codec/archive/failure.hpp>
#include <procpool/detail/engine/bytes.hpp>

namespace procpool::inline v0_1::detail {

class OutputArchive;

// The depth of nested values in a message, checked against the limit and against the stack of the
// thread that encodes or decodes. The room on the stack is measured once per thread, and again for a
// deep message: a limit of the process may have changed. Below a stack that is not the thread's own,
// as that of a fiber, the mapping is looked up.
class Depth {
 public:
  // Not inlined: what it stands on is below all of its caller's frame.
  [[gnu::noinline]] void enter() {
    auto const here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    if (levels_ >= nesting_limit || here < floor_) deeper(here);
    ++levels_;
  }
  void leave() noexcept { --levels_; }

 private:
  PROCPOOL_API void deeper(std::uintptr_t here);

  enum class State : std::uint8_t { unasked, first, final };

  std::uintptr_t floor_ = UINTPTR_MAX;  // below it, `deeper` decides
  unsigned levels_ = 0;
  State state_ = State::unasked;
};

struct DeleteOutputArchive {
  PROCPOOL_API void operator()(OutputArchive* archive) const noexcept;
};

class Sink {
 public:
  // The buffer is stretched to its capacity while the sink lives; only `commit` fixes its size.
  explicit Sink(Bytes& out) : out_(out), start_(out.size()) {
    out_.resize(out_.capacity());
    cursor_ = out_.data() + start_;
    limit_ = out_.data() + out_.size();
  }
  Sink(Sink const&) = delete;
  Sink& operator=(Sink const&) = delete;
  ~Sink() { out_.resize(committed_ ? used() : start_); }

  void commit() noexcept { committed_ = true; }

  void write(void const* from, std::size_t bytes) {
    if (bytes > static_cast<std::size_t>(limit_ - cursor_)) grow(bytes);
    if (bytes != 0) std::memcpy(cursor_, from, bytes);
    cursor_ += bytes;
  }

  // Room for so many bytes that the caller writes.
  std::byte* claim(std::size_t bytes) {
    if (bytes > static_cast<std::size_t>(limit_ - cursor_)) grow(bytes);
    auto* const place = cursor_;
    cursor_ += bytes;
    return place;
  }

  template <class T>
  void scalar(T value) {
    if (sizeof(T) > static_cast<std::size_t>(limit_ - cursor_)) grow(sizeof(T));
    std::memcpy(cursor_, &value, sizeof(T));
    cursor_ += sizeof(T);
  }

  void count(std::size_t elements) { scalar(static_cast<std::uint64_t>(elements)); }

  void charge_weightless(std::size_t bytes) {
    if (bytes > weightless_limit - weightless_) refuse_weightless();
    weightless_ += bytes;
  }

  OutputArchive& archive() { return archive_ ? *archive_ : make_archive(); }

  std::size_t used() const noexcept { return static_cast<std::size_t>(cursor_ - out_.data()); }

  Depth depth;

 private:
  PROCPOOL_API void grow(std::size_t bytes);
  PROCPOOL_API OutputArchive& make_archive();

  Bytes& out_;
  std::size_t start_;
  std::byte* cursor_;
  std::byte* limit_;
  std::size_t weightless_ = 0;
  std::unique_ptr<OutputArchive, DeleteOutputArchive> archive_;
  bool committed_ = false;
};

// One level of nesting, in a Sink or a Source.
template <class Stream>
class Level {
 public:
  explicit Level(Stream& stream) : stream_(stream) { stream_.depth.enter(); }
  Level(Level const&) = delete;
  Level& operator=(Level const&) = delete;
  ~Level() { stream_.depth.leave(); }

 private:
  Stream& stream_;
};

}  // namespace procpool::inline v0_1::detail
