// Blocks for arguments: who may have them, and how long they are kept. The rules stand in the header.
#include "parent/buffer_pool.hpp"

#include <unistd.h>

#include <algorithm>
#include <system_error>
#include <utility>

namespace procpool::inline v0::parent {
namespace {

// Each block costs a descriptor, of which a program may have few.
constexpr std::size_t max_leased = 64;
constexpr std::size_t max_free = 32;

// The least of 2 GiB and an eighth of the machine's memory.
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
    for (auto const& each : {worker, successor}) {
      if (auto const had = each.lock()) had->gone(id());
    }
  }

  // Guarded by the arena's mutex while it has one:
  std::weak_ptr<PeerBuffers> worker;
  std::weak_ptr<PeerBuffers>
      successor;  // that has the same message, in memory that never had another
  bool claimed = false;
  bool used_before = false;
  bool shared = false;
  TimePoint used{};
};

BufferPool::BufferPool(bool hardened, std::function<void()> wake)
    : hardened_(hardened), wake_(std::move(wake)) {}

BufferPool::~BufferPool() = default;

std::shared_ptr<detail::MessageBlock> BufferPool::take(std::size_t bytes) {
  if (hardened_) return nullptr;
  std::unique_ptr<Block> block;
  {
    detail::Lock const lock(mutex_);
    // As many may wait as there is memory: a descriptor for each would be too much.
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
  if (block == nullptr) block = make(bytes);
  block->worker = worker;  // in nobody else's hands
  block->claimed = true;
  return lease(std::move(block));
}

std::unique_ptr<BufferPool::Block> BufferPool::make(std::size_t bytes) {
  ++made_;
  try {
    return std::make_unique<Block>(bytes);
  } catch (std::system_error const&) {
    // What is kept may be what is missing.
    std::vector<std::unique_ptr<Block>> kept;
    {
      detail::Lock const lock(mutex_);
      kept.swap(free_);
    }
    if (kept.empty()) throw;
  }
  return std::make_unique<Block>(bytes);
}

std::shared_ptr<detail::MessageBlock> BufferPool::lease(std::unique_ptr<Block> block) {
  {
    detail::Lock const lock(mutex_);
    free_.reserve(free_.size() + leased_ + 1);  // so that all of them can come back
    ++leased_;
  }
  return {block.release(), [buffer_pool = weak_from_this()](Block* raw) noexcept {
            std::unique_ptr<Block> back(raw);
            if (auto const there = buffer_pool.lock()) there->give_back(std::move(back));
          }};
}

std::unique_ptr<BufferPool::Block> BufferPool::find(std::size_t bytes, Worker const* worker) {
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    Block const& block = **it;
    if (!block.fits(bytes)) continue;
    if (block.claimed) {
      auto const had = block.worker.lock();
      if (had == nullptr || (worker != nullptr && had != *worker)) continue;
    }
    // The smallest; among equals the latest.
    if (best == free_.end() || block.footprint() <= (*best)->footprint()) best = it;
  }
  if (best == free_.end()) return nullptr;
  auto found = std::move(*best);
  free_.erase(best);
  return found;
}

void BufferPool::give_back(std::unique_ptr<Block> block) noexcept {
  {
    detail::Lock const lock(mutex_);
    --leased_;
    bool const useless = block->shared || (block->claimed && block->worker.expired());
    block->used_before = true;
    if (!closed_ && !useless && block->footprint() <= max_kept() && !os::addresses_are_limited()) {
      block->used = std::chrono::steady_clock::now();
      free_.push_back(std::move(block));  // there is room, see lend
      auto const kept = [this]() PROCPOOL_REQUIRES(mutex_) {
        std::size_t sum = 0;
        for (auto const& each : free_) sum += each->footprint();
        return sum;
      };
      while (free_.size() > max_free || kept() > max_kept()) free_.erase(free_.begin());
    }
  }
  // For what is kept, and for the worker to be told of what is not.
  expect_trim();
}

bool BufferPool::claim(detail::MessageBlock& block, Worker const& worker) {
  auto* const ours = dynamic_cast<Block*>(&block);
  if (ours == nullptr) return false;
  detail::Lock const lock(mutex_);
  if (!std::exchange(ours->claimed, true)) ours->worker = worker;
  if (ours->worker.lock() == worker) return true;
  if (ours->used_before) return false;
  // It shows this message only, which is this worker's now.
  auto const known = ours->successor.lock();
  if (known != nullptr && known != worker) return false;
  ours->shared = true;
  ours->successor = worker;
  return true;
}

void BufferPool::expect_trim() noexcept {
  if (expected_.exchange(true, std::memory_order_acq_rel)) return;
  detail::Lock const lock(mutex_);
  if (wake_) wake_();
}

std::optional<BufferPool::TimePoint> BufferPool::trim(TimePoint now) {
  std::vector<std::unique_ptr<Block>> dropped;  // after the lock
  // First: whoever comes from now on wakes us.
  expected_.store(false, std::memory_order_release);
  detail::Lock const lock(mutex_);
  for (auto it = free_.begin(); it != free_.end();) {
    bool const useless = (*it)->claimed && (*it)->worker.expired();
    if (!useless && now < (*it)->used + memory_is_kept) {
      ++it;
    } else {
      dropped.push_back(std::move(*it));
      it = free_.erase(it);
    }
  }
  if (free_.empty()) return std::nullopt;
  TimePoint oldest = free_.front()->used;
  for (auto const& block : free_) oldest = std::min(oldest, block->used);
  return oldest + memory_is_kept;
}

void BufferPool::close() {
  std::vector<std::unique_ptr<Block>> dropped;
  detail::Lock const lock(mutex_);
  closed_ = true;
  wake_ = {};
  dropped.swap(free_);
}

std::size_t BufferPool::kept() const {
  detail::Lock const lock(mutex_);
  return free_.size();
}

std::uint64_t BufferPool::made() const noexcept { return made_.load(std::memory_order_relaxed); }

}  // namespace procpool::inline v0::parent
