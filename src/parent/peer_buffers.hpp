// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// PeerBuffers: the message memory that the program and one worker share. For arguments: the blocks
// of the buffer pool that the worker has mapped, and those of them that are gone. For results:
// views of the worker's blocks, which are kept from one result to the next, and the blocks that
// nothing here refers to any more, so that the worker may write to them again.
//
// Lives as long as its worker. Any thread; its mutex is taken under that of a slot, and no mutex
// under it. A worker's words about a block are believed only after a look at the descriptor: it
// cannot shrink, and it has the size. The bytes may change at any time.

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_set>
#include <vector>

#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/mutex.hpp>

#include "channel/layout.hpp"
#include "os/mapping.hpp"
#include "os/memfd.hpp"
#include "parent/trimmer.hpp"

namespace procpool::inline v0_1::parent {

class PeerBuffers : public std::enable_shared_from_this<PeerBuffers> {
 public:
  // ---- arguments
  bool has(std::uint64_t block) const;
  void sent(std::uint64_t block);
  void not_sent(std::uint64_t block) noexcept;
  void gone(std::uint64_t block) noexcept;  // the block is no more

  // ---- results
  // A message of `size` bytes at `offset` of the worker's block. The worker gets the block again when
  // the payload ends. Throws BadFrame for a message of no proper worker, std::system_error if the block
  // cannot be mapped.
  detail::Payload receive(os::Memfd const& file, std::uint64_t block, std::uint64_t offset,
                          std::uint64_t size);

  // ---- notices for the worker: at most so many ids. Once taken, they count as told.
  struct News {
    channel::MemoryNotice words;
    std::vector<std::uint64_t> ids;
    bool any() const noexcept { return !ids.empty() || words.let_go; }
  };
  News take_notices(std::size_t most);
  void not_told(News news);  // there was no room

  // For the slot's trim(). There may be notices then.
  std::optional<TimePoint> trim(TimePoint now);

 private:
  struct View {
    dev_t device;
    ino_t number;
    std::shared_ptr<os::Mapping const> mapping;
  };
  class Lease;
  void returned(std::uint64_t block) noexcept;

  mutable detail::Mutex mutex_;
  std::unordered_set<std::uint64_t> has_ PROCPOOL_GUARDED_BY(mutex_);
  std::vector<std::uint64_t> gone_ PROCPOOL_GUARDED_BY(mutex_);
  std::vector<View> views_ PROCPOOL_GUARDED_BY(mutex_);  // the latest last
  std::vector<std::uint64_t> returned_ PROCPOOL_GUARDED_BY(mutex_);
  std::size_t leases_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  // When the worker last sent a block, or had one returned.
  TimePoint used_ PROCPOOL_GUARDED_BY(mutex_){};
  bool keeps_ PROCPOOL_GUARDED_BY(mutex_) = false;   // it may have blocks of its own mapped
  bool let_go_ PROCPOOL_GUARDED_BY(mutex_) = false;  // it is to be told that it shall not

  std::atomic<bool> has_notices_{false};  // perhaps
};

}  // namespace procpool::inline v0_1::parent
