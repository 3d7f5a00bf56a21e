#pragma once

// Holdings: the message memory that the program and one worker share, as the program knows it. For
// arguments: which blocks of the arena the worker has mapped, and which of these are no more. For
// results: views of the worker's blocks, kept from one result to the next, and which blocks nobody
// here refers to any more, so that the worker may write to them again.
//
// Lives as long as its worker: nothing of it is ever used for another. Any thread; its mutex is taken
// under a slot's and takes no other. What a worker says of a block is believed after a look at the
// descriptor: it cannot shrink, and it has the size. Its bytes may change at any time.

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

namespace procpool::inline v0::parent {

class PeerBuffers : public std::enable_shared_from_this<PeerBuffers> {
 public:
  // ---- arguments
  bool has(std::uint64_t block) const;
  void sent(std::uint64_t block);
  void not_sent(std::uint64_t block) noexcept;
  void gone(std::uint64_t block) noexcept;  // it is no more

  // ---- results
  // A message of `size` bytes at `offset` of the worker's block; when the payload goes, the worker may
  // have the block back. Throws BadFrame for what no proper worker sends, std::system_error when it
  // cannot be mapped.
  detail::Payload receive(os::Memfd const& file, std::uint64_t block, std::uint64_t offset,
                          std::uint64_t size);

  // ---- what the worker is to be told; taken as told. Not more ids than `most`.
  struct News {
    channel::MemoryNotice words;
    std::vector<std::uint64_t> ids;
    bool any() const noexcept { return !ids.empty() || words.let_go; }
  };
  News take_notices(std::size_t most);
  void not_told(News news);  // there was no room

  // Lets go what has not been used for a while; there may be news then. Says when to look again.
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
  TimePoint used_
      PROCPOOL_GUARDED_BY(mutex_){};  // when the worker last sent a block, or had one returned
  bool keeps_ PROCPOOL_GUARDED_BY(mutex_) = false;   // it may have some of its own mapped
  bool let_go_ PROCPOOL_GUARDED_BY(mutex_) = false;  // it is to be told that it shall not

  std::atomic<bool> has_notices_{false};  // perhaps
};

}  // namespace procpool::inline v0::parent
