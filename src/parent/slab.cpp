// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/slab.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "engine/fork_detection.hpp"
#include "os/region.hpp"

namespace procpool::inline v0_1::parent {
namespace {

constexpr std::size_t region_bytes = std::size_t{2} << 20;  // a huge page, on most machines
constexpr std::size_t line = 64;
constexpr std::chrono::seconds between_looks{1};

constexpr std::size_t rounded(std::size_t bytes) { return (bytes + line - 1) / line * line; }

// AddressSanitizer finds uses of ended objects in the heap only.
#ifdef __has_feature
#define PROCPOOL_HAS_FEATURE(name) __has_feature(name)
#else
#define PROCPOOL_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || PROCPOOL_HAS_FEATURE(address_sanitizer)
constexpr bool from_heap = true;
#else
constexpr bool from_heap = false;
#endif

}  // namespace

// Lies at the beginning of its own memory.
struct Slab::Region {
  struct Free {
    Free* next;
  };

  explicit Region(Slab& memory) : owner(&memory), fresh(begin()) {}

  static Region& of(void* block) noexcept {
    auto const address = reinterpret_cast<std::uintptr_t>(block);
    return *reinterpret_cast<Region*>(address & ~std::uintptr_t{region_bytes - 1});
  }
  std::byte* begin() noexcept { return reinterpret_cast<std::byte*>(this) + 2 * line; }
  std::byte* end() noexcept { return reinterpret_cast<std::byte*>(this) + region_bytes; }
  bool has_room(std::size_t bytes) noexcept { return free != nullptr || fresh + bytes <= end(); }
  void* take(std::size_t bytes) noexcept {
    ++used;
    if (free != nullptr) return std::exchange(free, free->next);
    std::byte* const block = std::exchange(fresh, fresh + bytes);
    // The caches do not hold all objects of a program that needs many. The next one is fetched while
    // this one is filled.
    for (std::byte* at = fresh; at < std::min(fresh + bytes, end()); at += line) {
      __builtin_prefetch(at, 1);
    }
    return block;
  }
  void give(void* block) noexcept {
    if (--used != 0) {
      free = ::new (block) Free{free};
    } else {  // from the beginning again, side by side
      free = nullptr;
      fresh = begin();
    }
  }

  Slab* const owner;  // has regions, so is there
  Region* previous = nullptr;
  Region* next = nullptr;
  Free* free = nullptr;  // returned blocks, the latest first: it is in the cache
  std::byte* fresh;      // from here on nothing was ever taken
  std::size_t used = 0;
};

Slab::Slab(std::shared_ptr<Trimmer> trimmer) : trimmer_(std::move(trimmer)), forks_(fork_count()) {
  static_assert(sizeof(Region) <= 2 * line);
}

void* Slab::take(std::size_t bytes) {
  if constexpr (from_heap) return ::operator new(rounded(bytes), std::align_val_t{line});
  detail::Lock const lock(mutex_);
  bytes_ = rounded(bytes);
  if (first_ == nullptr) {
    Region* region = empty_;
    if (region != nullptr) {
      empty_ = region->next;
      min_empty_ = std::min(min_empty_, --empty_regions_);
    } else {
      region = &add_region();
    }
    enlist(*region);
  }
  Region& region = *first_;
  void* const block = region.take(bytes_);
  if (!region.has_room(bytes_)) delist(region);
  return block;
}

void Slab::give(void* block) noexcept {
  if constexpr (from_heap) return ::operator delete(block, std::align_val_t{line});
  Region& region = Region::of(block);
  region.owner->give(region, block);
}

void Slab::give(Region& region, void* block) noexcept {
  // The lock may be held for ever here.
  if (forked_since(forks_)) return;
  std::shared_ptr<Slab> last;  // may end with this, after the lock
  detail::Lock const lock(mutex_);
  bool const was_full = !region.has_room(bytes_);
  region.give(block);
  if (region.used != 0) {
    if (was_full) enlist(region);
    return;
  }
  if (!was_full) delist(region);
  region.next = std::exchange(empty_, &region);
  ++empty_regions_;
  if (closed_) {
    let_empty_go(0);
    if (regions_ == 0) last = std::move(self_);
  } else if (regions_ > 1) {
    trimmer_->expect();
  }
}

Slab::Region& Slab::add_region() {
  auto const memory = os::map_region(region_bytes);
  // The first one grows as it is used: most programs never need another.
  if (regions_ != 0) os::fill_region(memory);
  if (regions_++ == 0) self_ = shared_from_this();
  return *::new (static_cast<void*>(memory.data())) Region(*this);
}

void Slab::let_empty_go(std::size_t keep) noexcept {
  while (empty_regions_ > keep) {
    auto* const begin = reinterpret_cast<std::byte*>(std::exchange(empty_, empty_->next));
    os::unmap_region({begin, region_bytes});
    --empty_regions_;
    --regions_;
  }
}

std::optional<TimePoint> Slab::trim(TimePoint now) {
  detail::Lock const lock(mutex_);
  // The last region stays: it is needed again soon.
  std::size_t const used = regions_ - empty_regions_;
  std::size_t const least = used == 0 ? 1 : 0;
  let_empty_go(std::max(empty_regions_ - min_empty_, least));
  min_empty_ = empty_regions_;
  if (empty_regions_ <= least) return std::nullopt;
  return now + between_looks;
}

void Slab::close() {
  std::shared_ptr<Slab> last;
  detail::Lock const lock(mutex_);
  closed_ = true;
  let_empty_go(0);
  if (regions_ == 0) last = std::move(self_);
}

std::size_t Slab::regions() const {
  detail::Lock const lock(mutex_);
  return regions_;
}

std::size_t Slab::blocks_per_region() const {
  detail::Lock const lock(mutex_);
  return bytes_ == 0 ? 0 : (region_bytes - 2 * line) / bytes_;
}

void Slab::enlist(Region& region) noexcept {
  region.previous = last_;
  region.next = nullptr;
  (last_ != nullptr ? last_->next : first_) = &region;
  last_ = &region;
}

void Slab::delist(Region& region) noexcept {
  (region.previous != nullptr ? region.previous->next : first_) = region.next;
  (region.next != nullptr ? region.next->previous : last_) = region.previous;
}

}  // namespace procpool::inline v0_1::parent
