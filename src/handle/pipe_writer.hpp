// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// PipeWriter: the sending half of an end of a pipe. One thread at a time. A death in the middle of a
// message leaves the messages before it; the reader never sees the piece.

#include <cstddef>
#include <cstdint>
#include <span>

#include "handle/pipe_doorbell.hpp"
#include "handle/pipe_layout.hpp"

namespace procpool::inline v0_1::handle {

class PipeWriter {
 public:
  // All of these outlive it. Goes on where the words say that an earlier owner of the end has
  // stopped.
  PipeWriter(DirectionWords& words, std::byte* ring, int socket);

  // Blocks while there is no room. Throws PipeClosed when nobody has the other end any more.
  void send(std::span<std::byte const> message, std::span<int const> descriptors = {});

  PipeDoorbell& doorbell() noexcept { return doorbell_; }

 private:
  void write(std::span<std::byte const> bytes);
  // Copies what has room. Returns its size.
  std::size_t put(std::span<std::byte const> bytes);
  std::size_t room();
  void wait_for_room();
  bool publish();  // false: nobody has the other end any more

  DirectionWords& words_;
  std::byte* const ring_;
  PipeDoorbell doorbell_;
  std::uint64_t tail_ = 0;
  std::uint64_t published_ = 0;
  std::uint64_t seen_head_ = 0;
  bool torn_ = false;          // the ring ends with a piece of a message
  std::uint64_t look_at_ = 0;  // the position at which it is seen whether the reader is still there
};

}  // namespace procpool::inline v0_1::handle
