// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// PipeReader: the receiving half of an end of a pipe. One thread at a time. The other process is not
// trusted: it may write anything into the memory at any time.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/deadline.hpp>

#include "handle/pipe_doorbell.hpp"
#include "handle/pipe_layout.hpp"

namespace procpool::inline v0_1::handle {

class PipeReader {
 public:
  // As PipeWriter.
  PipeReader(DirectionWords& words, std::byte const* ring, int socket);

  enum class Receive { message, nothing, ended };
  // The next message. Blocks until there is one, or until the deadline: nothing. Ended: nobody has
  // the other end any more, and all messages were received. `descriptors`: those that came with the
  // message. Throws PipeClosed when the memory holds what it cannot, std::bad_alloc, and
  // std::system_error when there is no memory or no number for the descriptors. The message stays then.
  Receive receive(detail::Bytes& message, std::optional<detail::TimePoint> deadline,
                  std::vector<os::UniqueFd>* descriptors = nullptr);

  // A message is being received.
  bool is_within_message() const noexcept { return size_.has_value(); }
  PipeDoorbell& doorbell() noexcept { return doorbell_; }

 private:
  // Reads on. True: the message is complete.
  bool read();
  std::uint64_t available() const;
  std::uint64_t needed() const noexcept;  // bytes to go on with
  bool can_read() const;
  bool is_whole() const noexcept;  // the message that is being received
  void take(std::byte* to, std::size_t size);
  void publish();
  // For bytes, for the end, or until the deadline. The writer rings for what comes later.
  void wait(std::optional<detail::TimePoint> deadline);

  DirectionWords& words_;
  std::byte const* const ring_;
  PipeDoorbell doorbell_;
  std::uint64_t head_ = 0;
  bool torn_ = false;  // an earlier owner has died in the middle of a message
  bool ended_ = false;
  std::uint64_t begin_ = 0;  // of the last message
  // The message that is being received. Its size is what the other end says.
  std::optional<std::uint64_t> size_;
  detail::Bytes bytes_;
};

}  // namespace procpool::inline v0_1::handle
