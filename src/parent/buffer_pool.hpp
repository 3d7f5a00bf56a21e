#pragma once

// Arena: the memory of a pool's large arguments. Blocks are written by this program alone; the workers
// that get them can only read them. A block serves one worker in its life: it may hold one message for
// it after the other, but what one worker has had in view is never used for another, nor after that
// worker's death. While it serves, it stays as it is: it comes back when the last pointer to it is gone.
//
// A message is encoded before it is known who will get it, into a block whose worker had the last one
// of such a size; where another gets it, it is copied. Where workers are confined, nothing is encoded
// into what one of them has in view.
//
// Free blocks are kept warm for a second, and no more of them than a bound in number and bytes. Any
// thread; its mutex may be taken under a slot's and takes that of holdings. A crash leaves nothing.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <procpool/detail/engine/mutex.hpp>

#include "codec/message_memory.hpp"
#include "parent/peer_buffers.hpp"

namespace procpool::inline v0::parent {

class BufferPool final : public detail::MessageMemory,
                         public std::enable_shared_from_this<BufferPool> {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Worker = std::shared_ptr<PeerBuffers>;

  // `wake`: called, under the lock, when trim() has something to do that it did not know of.
  explicit BufferPool(bool hardened = false, std::function<void()> wake = {});
  ~BufferPool() override;

  // To encode into. Null where it had better be ordinary memory.
  std::shared_ptr<detail::MessageBlock> take(std::size_t bytes) override;
  // To copy into, for this worker. Throws std::system_error when there is no memory.
  std::shared_ptr<detail::MessageBlock> take_for(Worker const& worker, std::size_t bytes);
  // The block is this worker's from now on; false: it is another's.
  bool claim(detail::MessageBlock& block, Worker const& worker);

  // There is something to trim, now or soon: whoever does that is woken, unless he knows already.
  void expect_trim() noexcept;
  bool trim_is_expected() const noexcept { return expected_.load(std::memory_order_acquire); }
  // Of the arena or of the holdings of its workers; he who trims will look again.
  void trim_goes_on() noexcept { expected_.store(true, std::memory_order_release); }
  // Lets go what has not been used for a while; says when to look again.
  std::optional<TimePoint> trim(TimePoint now);
  // Keeps nothing from now on, and wakes nobody.
  void close();

  std::size_t kept() const;             // free blocks
  std::uint64_t made() const noexcept;  // blocks, ever

 private:
  class Block;
  std::shared_ptr<detail::MessageBlock> lease(std::unique_ptr<Block> block);  // without the lock
  std::unique_ptr<Block> make(std::size_t bytes);
  std::unique_ptr<Block> find(std::size_t bytes, Worker const* worker) PROCPOOL_REQUIRES(mutex_);
  void give_back(std::unique_ptr<Block> block) noexcept;

  bool const hardened_;
  mutable detail::Mutex mutex_;
  std::function<void()> wake_;
  std::vector<std::unique_ptr<Block>> free_ PROCPOOL_GUARDED_BY(mutex_);  // the latest last
  std::size_t leased_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  bool closed_ PROCPOOL_GUARDED_BY(mutex_) = false;

  std::atomic<bool> expected_{false};
  std::atomic<std::uint64_t> made_{0};
};

}  // namespace procpool::inline v0::parent
