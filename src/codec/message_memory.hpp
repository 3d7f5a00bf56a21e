// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Message memory: memory files that hold large messages and are mapped by the process that writes
// them, so that a message is encoded to where its reader will find it.
//
// MessageBlock is one such file. MessageMemory gives blocks out: the buffer pool of a pool, the
// result memory of a worker. A registry knows which buffer (Bytes) lies in which block. Any thread
// may use the registry and read a block. The bytes of a block belong to its user, and the block gets
// no other user before all pointers to it are gone. A crash leaves nothing: the files have no names.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include <procpool/detail/engine/bytes.hpp>

#include "os/mapping.hpp"
#include "os/memfd.hpp"

namespace procpool::inline v0_1::detail {

// For /proc/<pid>/maps: of everything that holds a large message.
inline constexpr char const* message_name = "procpool message";

class MessageBlock {
 public:
  // In front of the bytes: room for what is only known once they are written.
  static constexpr std::size_t ahead = 64;

  // Room for `bytes` and some more, with memory behind all of it, sealed against resizing; the
  // other side can map it for reading only if `readers_only`. Throws std::system_error when there
  // is none.
  MessageBlock(std::size_t bytes, bool readers_only);
  MessageBlock(MessageBlock const&) = delete;
  MessageBlock& operator=(MessageBlock const&) = delete;
  virtual ~MessageBlock() = default;

  std::uint64_t id() const noexcept { return id_; }  // of this process's blocks; never 0
  int fd() const noexcept { return file_.fd(); }
  std::byte* data() const noexcept { return view_.data() + ahead; }
  std::size_t capacity() const noexcept { return view_.size() - ahead; }
  std::size_t footprint() const noexcept { return view_.size(); }
  // Worth taking for so many bytes: they find room, and leave not too much of it.
  bool fits(std::size_t bytes) const noexcept;

 private:
  std::uint64_t id_;
  os::Memfd file_;
  os::Mapping view_;
};

class MessageMemory {
 public:
  MessageMemory() = default;
  MessageMemory(MessageMemory const&) = delete;
  MessageMemory& operator=(MessageMemory const&) = delete;
  virtual ~MessageMemory() = default;

  // For a buffer that is about to be written. Null, or an exception: ordinary memory has to do.
  virtual std::shared_ptr<MessageBlock> take(std::size_t bytes) = 0;
};

// The block at whose data() the bytes begin; null: they lie in ordinary memory.
std::shared_ptr<MessageBlock> message_block_of(std::span<std::byte const> bytes);

}  // namespace procpool::inline v0_1::detail
