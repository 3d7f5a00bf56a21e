// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// BytePipeEnd: one end of a pipe of byte strings, in both directions. PipeEnd<T, U> in
// procpool/pipe.hpp is the handle that users see.
//
// It has one owner at a time, a handle in some process. A message that carries it takes it away from
// its handle. One thread sends and one receives. A death of the owner at any point ends the pipe for
// the other end, once the kernel has closed the last descriptor.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/detail/handle/resource.hpp>

namespace procpool::inline v0_1::detail {

class PROCPOOL_API BytePipeEnd final : public Resource {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // What a handle has: the end, until a message takes it.
  struct Owner {
    std::shared_ptr<BytePipeEnd> end;
  };

  // Throws SetupError when there is no memory or no descriptor.
  static std::pair<std::shared_ptr<BytePipeEnd>, std::shared_ptr<BytePipeEnd>> make();
  // As Resource::adopt. Takes the descriptors if they are a pipe end's.
  static std::shared_ptr<Resource> adopt(std::uint64_t id, Kind kind,
                                         std::vector<os::UniqueFd>& descriptors);
  // As Resource::find. `kind` is what a message says.
  static std::shared_ptr<BytePipeEnd> find(std::uint64_t id, std::uint32_t kind);
  ~BytePipeEnd() override;

  std::vector<int> descriptors() const override;
  bool is_carried() const noexcept override { return true; }
  void return_to_owner() noexcept override;

  // The handle gives it to the message that this thread encodes.
  static void leave(std::shared_ptr<Owner> const& owner);
  // A new handle has it from now on. Throws SerializationError if another one of this process has it:
  // only a faulty message names an end that nobody gave away.
  std::shared_ptr<Owner> arrive();

  // Blocks while there is no room. Throws PipeClosed.
  void send(std::span<std::byte const> message);
  // The same for a message that may hold handles: these go with it. Appends to its bytes. Throws
  // SerializationError when they are too many.
  void send(Bytes& message, List const& handles);
  enum class Receive : std::uint8_t { message, nothing, ended };
  // Blocks until there is a message, or until the deadline: nothing. Throws PipeClosed.
  Receive receive(Bytes& message, std::optional<TimePoint> deadline);
  // The same for a message that may hold handles, which come with it. Throws SerializationError when
  // they are not what they are said to be, SetupError when this process lacks memory or descriptors.
  // A message whose descriptors find no number is received later.
  Receive receive(Bytes& message, List& handles, std::optional<TimePoint> deadline);
  // The message that was received last is the next one again: once.
  void keep(Bytes& message) noexcept;
  // The same for a message that may hold handles. One that holds some is not kept.
  void keep(Bytes& message, List const& handles) noexcept;
  bool peer_gone() const noexcept;
  int native_handle() const noexcept;
  // The other end hears that nobody has this one any more.
  void close() noexcept;

 private:
  struct State;

  BytePipeEnd(std::uint64_t id, Kind kind, std::unique_ptr<State> state) noexcept;

  // `refusal`: the beginning of an error text. Not null: the descriptors of the message go there.
  Receive receive(char const* refusal, Bytes& message, std::optional<TimePoint> const& deadline,
                  std::vector<os::UniqueFd>* descriptors);

  std::unique_ptr<State> const state_;
  std::weak_ptr<Owner> owner_;  // that gave it away
  std::atomic<bool> is_owned_{false};
  unsigned forks_ = 0;  // when it got its owner
};

[[noreturn]] PROCPOOL_API void refuse_pipe_end_without_owner();  // std::logic_error

}  // namespace procpool::inline v0_1::detail
