// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/buffer_pool.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

namespace procpool::inline v0_1::parent {
namespace {

// Each block costs a descriptor, of which a program may have few.
constexpr std::size_t max_leased = 64;
constexpr std::size_t max_free = 32;

// 2 GiB, or an eighth of the machine's memory if that is less.
std::size_t max_kept() {
  static auto const bytes = [] {
    auto const pages = static_cast<std::size_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
    auto const all = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return std::min(std::size_t{2} << 30, all / 8);
  }();
  return bytes;
}

}  // namespace

class BufferPool::Block final : public detail::MessageBlock {
 public:
  explicit Block(std::size_t bytes) : MessageBlock(bytes, true) {}
  ~Block() override {
    for (auto const& each : readers) {
      if (auto const reader = each.lock()) reader->gone(id());
    }
  }

  // Both under the pool's mutex, or in the hands of one thread.
  std::vector<std::weak_ptr<PeerBuffers>> readers;  // workers that may have it mapped
  TimePoint used{};
};

BufferPool::BufferPool(bool hardened, std::shared_ptr<Trimmer> trimmer)
    : hardened_(hardened), trimmer_(std::move(trimmer)) {}

BufferPool::~BufferPool() = default;

std::shared_ptr<detail::MessageBlock> BufferPool::take(std::size_t bytes) {
  if (hardened_) return nullptr;
  std::unique_ptr<Block> block;
  {
    detail::Lock const lock(mutex_);
    // The number of waiting messages has no limit but the memory: each must not cost a descriptor.
    if (closed_ || leased_ >= max_leased) return nullptr;
    block = find(bytes, nullptr);
  }
  return lease(block != nullptr ? std::move(block) : make(bytes));
}

std::shared_ptr<detail::MessageBlock> BufferPool::take_for(Worker const& worker,
                                                           std::size_t bytes) {
  std::unique_ptr<Block> block;
  {
    detail::Lock const lock(mutex_);
    block = find(bytes, &worker);
  }
  auto leased = lease(block != nullptr ? std::move(block) : make(bytes));
  add_reader(*leased, worker);
  return leased;
}

bool BufferPool::add_reader(detail::MessageBlock& block, Worker const& worker) {
  auto* const ours = dynamic_cast<Block*>(&block);
  if (ours == nullptr) return false;
  detail::Lock const lock(mutex_);
  if (!may_read(*ours, worker)) return false;
  auto& readers = ours->readers;
  bool known = false;
  std::erase_if(readers, [&](auto const& each) {
    auto const reader = each.lock();
    known = known || reader == worker;
    return reader == nullptr;
  });
  if (!known) readers.push_back(worker);
  return true;
}

bool BufferPool::may_read(Block const& block, Worker const& worker) const {
  return !hardened_ || block.readers.empty() || block.readers.front().lock() == worker;
}

bool BufferPool::is_useless(Block const& block) const {
  return hardened_ && !block.readers.empty() && block.readers.front().expired();
}

std::unique_ptr<BufferPool::Block> BufferPool::make(std::size_t bytes) {
  ++made_;
  try {
    return std::make_unique<Block>(bytes);
  } catch (std::system_error const&) {
    // The free blocks may be the memory that is missing.
    Blocks dropped;
    {
      detail::Lock const lock(mutex_);
      dropped.swap(free_);
    }
    if (dropped.empty()) throw;
  }
  return std::make_unique<Block>(bytes);
}

std::shared_ptr<detail::MessageBlock> BufferPool::lease(std::unique_ptr<Block> block) {
  {
    detail::Lock const lock(mutex_);
    free_.reserve(free_.size() + leased_ + 1);  // so that all of them can come back
    ++leased_;
  }
  return {block.release(), [pool = weak_from_this()](Block* raw) noexcept {
            std::unique_ptr<Block> back(raw);
            if (auto const there = pool.lock()) there->return_block(std::move(back));
          }};
}

std::unique_ptr<BufferPool::Block> BufferPool::find(std::size_t bytes, Worker const* worker) {
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    Block const& block = **it;
    if (!block.fits(bytes) || (worker != nullptr && !may_read(block, *worker))) continue;
    // The smallest; among equals the latest.
    if (best == free_.end() || block.footprint() <= (*best)->footprint()) best = it;
  }
  if (best == free_.end()) return nullptr;
  auto found = std::move(*best);
  free_.erase(best);
  return found;
}

void BufferPool::return_block(std::unique_ptr<Block> block) noexcept {
  {
    detail::Lock const lock(mutex_);
    --leased_;
    if (!closed_ && !is_useless(*block) && block->footprint() <= max_kept() &&
        !os::addresses_are_limited()) {
      block->used = std::chrono::steady_clock::now();
      free_.push_back(std::move(block));  // lease() has made room
      std::size_t bytes = 0;
      for (auto const& each : free_) bytes += each->footprint();
      while (free_.size() > max_free || bytes > max_kept()) {
        bytes -= free_.front()->footprint();
        free_.erase(free_.begin());
      }
    }
  }
  // For blocks that are kept, and for workers to be told of those that are not.
  trimmer_->expect();
}

std::optional<TimePoint> BufferPool::trim(TimePoint now) {
  Blocks dropped;  // after the lock
  detail::Lock const lock(mutex_);
  std::optional<TimePoint> oldest;
  for (auto it = free_.begin(); it != free_.end();) {
    if (is_useless(**it) || now >= (*it)->used + memory_is_kept) {
      dropped.push_back(std::move(*it));
      it = free_.erase(it);
    } else {
      oldest = earlier(oldest, (*it)->used);
      ++it;
    }
  }
  return oldest ? std::optional(*oldest + memory_is_kept) : std::nullopt;
}

void BufferPool::close() {
  Blocks dropped;
  detail::Lock const lock(mutex_);
  closed_ = true;
  dropped.swap(free_);
}

std::size_t BufferPool::kept() const {
  detail::Lock const lock(mutex_);
  return free_.size();
}

std::uint64_t BufferPool::made() const noexcept { return made_.load(std::memory_order_relaxed); }

}  // namespace procpool::inline v0_1::parent
