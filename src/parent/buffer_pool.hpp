// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// BufferPool: the shared memory of a pool's large arguments. This program alone writes to its
// blocks; workers map them for reading. A block stays as it is while something refers to it, then
// it is free for another message.
//
// Any free block serves any worker. In a hardened pool a block has one worker in its life: no
// worker ever sees a message of another. There, a message is encoded into ordinary memory and
// copied into a block as soon as its worker is known.
//
// Free blocks are kept for a second, up to a number and a sum of bytes. Any thread. The mutex may
// be taken under that of a slot; under it the mutexes of PeerBuffers and Trimmer are taken. A crash
// leaves nothing.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <procpool/detail/engine/mutex.hpp>

#include "codec/message_memory.hpp"
#include "parent/peer_buffers.hpp"
#include "parent/trimmer.hpp"

namespace procpool::inline v0_1::parent {

class BufferPool final : public detail::MessageMemory,
                         public Trimmable,
                         public std::enable_shared_from_this<BufferPool> {
 public:
  using Worker = std::shared_ptr<PeerBuffers>;

  // The trimmer's list does not get the pool by that.
  explicit BufferPool(bool hardened = false,
                      std::shared_ptr<Trimmer> trimmer = std::make_shared<Trimmer>());
  ~BufferPool() override;

  // To encode into. Null if the caller should use ordinary memory.
  std::shared_ptr<detail::MessageBlock> take(std::size_t bytes) override;
  // To copy into, for this worker. Throws std::system_error when there is no memory.
  std::shared_ptr<detail::MessageBlock> take_for(Worker const& worker, std::size_t bytes);
  // Must precede the sending of a block to a worker, which is told when the block is gone. False:
  // the block is none of this pool's, or it is another worker's for ever.
  bool add_reader(detail::MessageBlock& block, Worker const& worker);

  Trimmer& trimmer() const noexcept { return *trimmer_; }
  std::optional<TimePoint> trim(TimePoint now) override;
  // Keeps no free block from now on.
  void close();

  std::size_t kept() const;             // free blocks
  std::uint64_t made() const noexcept;  // blocks, ever

 private:
  class Block;
  using Blocks = std::vector<std::unique_ptr<Block>>;

  std::shared_ptr<detail::MessageBlock> lease(std::unique_ptr<Block> block)
      PROCPOOL_EXCLUDES(mutex_);
  std::unique_ptr<Block> make(std::size_t bytes) PROCPOOL_EXCLUDES(mutex_);
  std::unique_ptr<Block> find(std::size_t bytes, Worker const* worker) PROCPOOL_REQUIRES(mutex_);
  bool may_read(Block const& block, Worker const& worker) const PROCPOOL_REQUIRES(mutex_);
  bool is_useless(Block const& block) const PROCPOOL_REQUIRES(mutex_);
  void return_block(std::unique_ptr<Block> block) noexcept PROCPOOL_EXCLUDES(mutex_);

  bool const hardened_;
  std::shared_ptr<Trimmer> const trimmer_;
  std::atomic<std::uint64_t> made_{0};
  mutable detail::Mutex mutex_;
  Blocks free_ PROCPOOL_GUARDED_BY(mutex_);  // the latest last
  std::size_t leased_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  bool closed_ PROCPOOL_GUARDED_BY(mutex_) = false;
};

}  // namespace procpool::inline v0_1::parent
