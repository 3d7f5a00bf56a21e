// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/peer_buffers.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "channel/parent_end.hpp"
#include "channel/result_memory.hpp"

namespace procpool::inline v0_1::parent {
namespace {

using channel::BadFrame;

constexpr std::uint64_t largest_offset = 4096;
constexpr long tmpfs = 0x01021994;

// Nothing that could end a read with SIGBUS: neither cut off nor without memory of the usual kind.
struct stat checked_status(os::Memfd const& file) {
  int const seals = file.seals();
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    throw BadFrame("a large message came in memory that is not sealed");
  }
  struct statfs kind{};
  struct stat status{};
  if (::fstatfs(file.fd(), &kind) != 0 || ::fstat(file.fd(), &status) != 0) {
    os::throw_errno("procpool could not ask for a memory file's size");
  }
  if (kind.f_type != tmpfs) throw BadFrame("a large message came in memory of an unusual kind");
  return status;
}

}  // namespace

// Owned by a payload: the view, and the worker's block until the payload ends, on any thread.
class PeerBuffers::Lease {
 public:
  Lease(std::shared_ptr<os::Mapping const> view, std::weak_ptr<PeerBuffers> peer_buffers,
        std::uint64_t block)
      : view_(std::move(view)), peer_buffers_(std::move(peer_buffers)), block_(block) {}
  Lease(Lease const&) = delete;
  Lease& operator=(Lease const&) = delete;
  ~Lease() {
    // In a forked child others may hold the lock for ever, and the worker is not its own.
    if (::getpid() != process_) return;
    view_.reset();
    if (auto const peer_buffers = peer_buffers_.lock()) peer_buffers->returned(block_);
  }

 private:
  std::shared_ptr<os::Mapping const> view_;
  std::weak_ptr<PeerBuffers> peer_buffers_;  // expired: the worker is gone
  std::uint64_t block_;
  pid_t const process_ = ::getpid();
};

bool PeerBuffers::has(std::uint64_t block) const {
  detail::Lock const lock(mutex_);
  return has_.contains(block);
}

void PeerBuffers::sent(std::uint64_t block) {
  detail::Lock const lock(mutex_);
  has_.insert(block);
  gone_.reserve(gone_.size() + has_.size());  // so that gone() needs no memory
}

void PeerBuffers::not_sent(std::uint64_t block) noexcept {
  detail::Lock const lock(mutex_);
  has_.erase(block);
}

void PeerBuffers::gone(std::uint64_t block) noexcept {
  detail::Lock const lock(mutex_);
  if (has_.erase(block) == 0) return;
  gone_.push_back(block);
  has_notices_.store(true, std::memory_order_relaxed);  // what it tells of is read under the mutex
}

detail::Payload PeerBuffers::receive(os::Memfd const& file, std::uint64_t block,
                                     std::uint64_t offset, std::uint64_t size) {
  struct stat const status = checked_status(file);
  auto const there = static_cast<std::uint64_t>(status.st_size);
  if (offset > largest_offset || there < offset || there - offset < size) {
    throw BadFrame("a large message is shorter than its record says");
  }
  detail::Lock const lock(mutex_);
  used_ = std::chrono::steady_clock::now();
  keeps_ = true;
  let_go_ = false;
  std::shared_ptr<os::Mapping const> view;
  // A view keeps its file, so that no other can have the same number.
  auto const known = std::ranges::find_if(views_, [&](View const& kept) {
    return kept.device == status.st_dev && kept.number == status.st_ino &&
           kept.mapping->size() >= offset + size;
  });
  if (known != views_.end()) {
    view = known->mapping;
    std::rotate(known, known + 1, views_.end());
  } else {
    // Much more than the message is of no use to us.
    bool const sensible = there / 4 <= size || there <= (std::uint64_t{1} << 20);
    bool const keep =
        sensible && there <= channel::max_result_bytes && !os::addresses_are_limited();
    view = std::make_shared<os::Mapping const>(file, os::Access::read_only, 0,
                                               keep ? there : offset + size);
    os::enter_pages(std::span<std::byte const>(view->bytes()).first(offset + size),
                    os::Access::read_only);
    if (keep) {
      auto const viewed = [this]() PROCPOOL_REQUIRES(mutex_) {
        std::size_t sum = 0;
        for (View const& kept : views_) sum += kept.mapping->size();
        return sum;
      };
      while (!views_.empty() && (views_.size() >= channel::max_result_blocks ||
                                 viewed() + there > channel::max_result_bytes)) {
        views_.erase(views_.begin());
      }
      views_.push_back({status.st_dev, status.st_ino, view});
    }
  }
  auto const bytes = std::span<std::byte const>(view->bytes()).subspan(offset, size);
  returned_.reserve(returned_.size() + leases_ + 1);  // so that returned() needs no memory
  ++leases_;
  return detail::Payload(std::make_shared<Lease const>(std::move(view), weak_from_this(), block),
                         bytes);
}

void PeerBuffers::returned(std::uint64_t block) noexcept {
  detail::Lock const lock(mutex_);
  used_ = std::chrono::steady_clock::now();
  --leases_;
  returned_.push_back(block);
  has_notices_.store(true, std::memory_order_relaxed);
}

PeerBuffers::News PeerBuffers::take_notices(std::size_t most) {
  News news;
  // Relaxed: seen late, it is told with a later record. Mostly there is none, and this is on the
  // way of every task.
  if (!has_notices_.load(std::memory_order_relaxed)) return news;
  detail::Lock const lock(mutex_);
  news.words.let_go = std::exchange(let_go_, false);
  auto const move = [&](std::vector<std::uint64_t>& from) {
    std::size_t const some = std::min(from.size(), most - news.ids.size());
    news.ids.insert(news.ids.end(), from.begin(), from.begin() + static_cast<std::ptrdiff_t>(some));
    from.erase(from.begin(), from.begin() + static_cast<std::ptrdiff_t>(some));
    return some;
  };
  news.words.gone = move(gone_);
  move(returned_);
  has_notices_.store(!gone_.empty() || !returned_.empty(), std::memory_order_relaxed);
  return news;
}

void PeerBuffers::not_told(News news) {
  detail::Lock const lock(mutex_);
  auto const middle = news.ids.begin() + static_cast<std::ptrdiff_t>(news.words.gone);
  gone_.insert(gone_.end(), news.ids.begin(), middle);
  gone_.reserve(gone_.size() + has_.size());
  returned_.insert(returned_.end(), middle, news.ids.end());
  returned_.reserve(returned_.size() + leases_);
  let_go_ = let_go_ || news.words.let_go;
  has_notices_.store(true, std::memory_order_relaxed);
}

std::optional<TimePoint> PeerBuffers::trim(TimePoint now) {
  detail::Lock const lock(mutex_);
  if (!keeps_) return std::nullopt;
  TimePoint const end = used_ + memory_is_kept;
  if (now < end) return end;
  // Also of what somebody here still refers to: that keeps a view of its own.
  views_.clear();
  returned_.clear();
  keeps_ = false;
  let_go_ = true;
  has_notices_.store(true, std::memory_order_relaxed);
  return std::nullopt;
}

}  // namespace procpool::inline v0_1::parent
