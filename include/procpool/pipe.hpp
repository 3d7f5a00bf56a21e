// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// PipeEnd<T, U>: one of the two ends of a pipe between any two processes, or threads. Values go in
// both directions. An end has one owner: who gives it to a task, to another process, or back as a
// result, does not have it any more. The end of the stream is the kernel's: once the other owner has
// closed its end, or has died, however that was, receive() gives what was sent before, and then
// nothing.
//
// A pipe has no name and nothing is left of it. It takes three descriptors for each end, and 132 KiB.

#include <chrono>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/handle/byte_pipe_end.hpp>
#include <procpool/detail/handle/has_handles.hpp>
#include <procpool/fwd.hpp>

namespace procpool::inline v0_1 {

/// Makes a pipe. The first end sends T and receives U, the second sends U and receives T. Throws
/// SetupError when memory or descriptors are missing.
template <class T, class U = T>
std::pair<PipeEnd<T, U>, PipeEnd<U, T>> make_pipe();

/// One end: sends T, receives U. Movable, not copyable. One thread may send while another receives.
/// Each call throws std::logic_error if the end is empty or was given away.
template <class T, class U>
class PipeEnd {
 public:
  /// Is no end of anything.
  PipeEnd() = default;
  PipeEnd(PipeEnd&& other) noexcept = default;
  PipeEnd& operator=(PipeEnd&& other) noexcept {
    if (this != &other) {
      close();
      owner_ = std::move(other.owner_);
    }
    return *this;
  }
  PipeEnd(PipeEnd const&) = delete;
  PipeEnd& operator=(PipeEnd const&) = delete;
  /// As close().
  ~PipeEnd() { close(); }

  /// True if this is the owner of an end.
  bool valid() const noexcept { return owner_ && owner_->end; }

  /// Sends a value, which may hold handles: also ends of pipes, which it takes along. Blocks while
  /// 64 KiB wait to be received. Throws PipeClosed when nobody has the other end any more, SetupError
  /// when the system cannot send the handles, and what encoding throws. What was sent and not received
  /// is lost with the process that has the other end: a death is noticed within 16 KiB.
  void send(T const& value) {
    detail::Bytes bytes;
    if constexpr (detail::has_handles<T> != detail::Handles::none) {
      // A copy: a value may take this very end along, and a `serialize` of the user may drop it.
      std::shared_ptr<detail::BytePipeEnd> const end = shared_end();
      detail::NamedResources handles;
      {
        detail::ResourceCollector const collector(handles.list());
        detail::encode(bytes, value);
      }
      end->send(bytes, handles.list());
      handles.sent();
    } else {
      detail::BytePipeEnd& end = this->end();
      detail::encode(bytes, value);
      end.send(bytes);
    }
  }

  /// The next value. Blocks until there is one. Nothing: nobody has the other end any more, and all
  /// values were received. Throws what decoding throws, which costs that value alone, PipeClosed when
  /// the memory of the pipe was destroyed, and SetupError when this process lacks memory or descriptors.
  /// A value whose handles find no descriptor here waits for the next call, and so does, once, one
  /// without handles that finds no memory (std::bad_alloc).
  std::optional<U> receive() { return receive_until(std::nullopt); }
  /// The same without blocking. Also nothing if there is no value now: see peer_gone().
  std::optional<U> try_receive() { return receive_until(detail::TimePoint::min()); }
  /// The same, blocking for no longer than `wait`.
  template <class Rep, class Period>
  std::optional<U> receive_for(std::chrono::duration<Rep, Period> wait) {
    return receive_until(detail::later(std::chrono::steady_clock::now(), wait));
  }

  /// True if nobody has the other end any more. Values may still wait to be received.
  bool peer_gone() const { return end().peer_gone(); }

  /// A descriptor for poll(): readable when receive() may have news, if try_receive() has given
  /// nothing before. It stays the pipe's.
  int native_handle() const { return end().native_handle(); }

  /// Lets the end go: the other one hears that nobody has it. Idempotent.
  void close() noexcept {
    if (!valid()) return;
    owner_->end->close();
    owner_.reset();
  }

 private:
  friend struct detail::StdCodec<PipeEnd>;
  friend std::pair<PipeEnd<T, U>, PipeEnd<U, T>> make_pipe<T, U>();
  friend std::pair<PipeEnd<U, T>, PipeEnd<T, U>> make_pipe<U, T>();

  explicit PipeEnd(std::shared_ptr<detail::BytePipeEnd> const& end) : owner_(end->arrive()) {}

  std::shared_ptr<detail::BytePipeEnd> const& shared_end() const {
    if (!valid()) detail::refuse_pipe_end_without_owner();
    return owner_->end;
  }
  detail::BytePipeEnd& end() const { return *shared_end(); }

  std::optional<U> receive_until(std::optional<detail::TimePoint> deadline) {
    using Receive = detail::BytePipeEnd::Receive;
    detail::Bytes bytes;
    if constexpr (detail::has_handles<U> != detail::Handles::none) {
      detail::Resource::List handles;
      if (end().receive(bytes, handles, deadline) != Receive::message) return std::nullopt;
      try {
        // The value names its own handles, and no others of this process.
        detail::ResourceScope const scope(&handles);
        return detail::decode<U>(bytes);
      } catch (std::bad_alloc const&) {
        if (valid()) end().keep(bytes, handles);
        throw;
      }
    } else {
      if (end().receive(bytes, deadline) != Receive::message) return std::nullopt;
      try {
        return detail::decode<U>(bytes);
      } catch (std::bad_alloc const&) {
        if (valid()) end().keep(bytes);
        throw;
      }
    }
  }

  std::shared_ptr<detail::BytePipeEnd::Owner> owner_;
};

template <class T, class U>
std::pair<PipeEnd<T, U>, PipeEnd<U, T>> make_pipe() {
  auto [first, second] = detail::BytePipeEnd::make();
  return {PipeEnd<T, U>(first), PipeEnd<U, T>(second)};
}

namespace detail {

template <class T, class U>
inline constexpr bool is_handle<PipeEnd<T, U>> = true;

template <class T, class U>
struct StdCodec<PipeEnd<T, U>> {
  using Parts = Types<T, U>;
  static constexpr std::size_t least = sizeof(std::uint64_t);

  static void save(Sink& out, PipeEnd<T, U> const& value) {
    std::uint64_t id = 0;
    std::uint32_t kind = 0;
    if (value.valid()) {
      id = value.owner_->end->id();
      kind = static_cast<std::uint32_t>(value.owner_->end->kind());
      BytePipeEnd::leave(value.owner_);
    }
    out.scalar(id);
    out.scalar(kind);
  }
  static void load(Source& in, PipeEnd<T, U>& value) {
    auto const id = in.scalar<std::uint64_t>();
    auto const kind = in.scalar<std::uint32_t>();
    value.owner_ = id == 0 ? nullptr : BytePipeEnd::find(id, kind)->arrive();
  }
};

}  // namespace detail

}  // namespace procpool::inline v0_1
