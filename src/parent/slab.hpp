// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Slab: memory for a pool's many small objects of one size, such as the tasks of submitted calls. A
// program that queues a million of them would spend a third of its time in page faults, and in
// joining freed pieces again, if they came from the heap. Here they lie side by side in regions
// that the kernel fills at once. Empty regions are kept for a second or two.
//
// Any thread may take and give, also a thread that has not taken what it gives. The mutex is held
// for some instructions and may be taken under any other; under it only that of the trimmer is.
// Blocks may outlive the pool, and keep the slab alive. In a forked child nothing can be taken, and
// giving does nothing: the child's memory is a copy. A crash leaves nothing behind.

#include <cstddef>
#include <memory>
#include <new>
#include <optional>

#include <procpool/detail/engine/mutex.hpp>

#include "parent/trimmer.hpp"

namespace procpool::inline v0_1::parent {

class Slab final : public Trimmable, public std::enable_shared_from_this<Slab> {
 public:
  // The trimmer's list does not get the slab by that.
  explicit Slab(std::shared_ptr<Trimmer> trimmer = std::make_shared<Trimmer>());
  Slab(Slab const&) = delete;
  Slab& operator=(Slab const&) = delete;

  // `bytes`: the same each time. Aligned as a cache line is. Throws std::bad_alloc.
  void* take(std::size_t bytes);
  static void give(void* block) noexcept;

  // Lets regions go that were empty since the last look.
  std::optional<TimePoint> trim(TimePoint now) override;
  // Keeps no empty region from now on.
  void close();

  std::size_t regions() const;            // that it has
  std::size_t blocks_per_region() const;  // once some have been taken

 private:
  struct Region;

  Region& add_region() PROCPOOL_REQUIRES(mutex_);
  void give(Region& region, void* block) noexcept PROCPOOL_EXCLUDES(mutex_);
  void enlist(Region& region) noexcept PROCPOOL_REQUIRES(mutex_);
  void delist(Region& region) noexcept PROCPOOL_REQUIRES(mutex_);
  void let_empty_go(std::size_t keep) noexcept PROCPOOL_REQUIRES(mutex_);

  std::shared_ptr<Trimmer> const trimmer_;
  unsigned const forks_;
  mutable detail::Mutex mutex_;
  std::size_t bytes_ PROCPOOL_GUARDED_BY(mutex_) = 0;  // of a block
  // Regions that hold something and have room: a list.
  Region* first_ PROCPOOL_GUARDED_BY(mutex_) = nullptr;
  Region* last_ PROCPOOL_GUARDED_BY(mutex_) = nullptr;
  Region* empty_ PROCPOOL_GUARDED_BY(mutex_) = nullptr;  // a stack
  std::size_t regions_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  std::size_t empty_regions_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  std::size_t min_empty_ PROCPOOL_GUARDED_BY(mutex_) = 0;  // since the last look
  bool closed_ PROCPOOL_GUARDED_BY(mutex_) = false;
  std::shared_ptr<Slab> self_ PROCPOOL_GUARDED_BY(mutex_);  // while it has regions
};

// For std::allocate_shared: one object at a time.
template <class T>
class SlabAllocator {
 public:
  using value_type = T;

  explicit SlabAllocator(Slab& memory) noexcept : memory_(&memory) {}
  template <class U>
  SlabAllocator(SlabAllocator<U> const& other) noexcept : memory_(other.memory_) {}

  T* allocate(std::size_t count) {
    if (count != 1) throw std::bad_alloc();
    return static_cast<T*>(memory_->take(sizeof(T)));
  }
  void deallocate(T* place, std::size_t) noexcept { Slab::give(place); }

  template <class U>
  friend bool operator==(SlabAllocator const& a, SlabAllocator<U> const& b) noexcept {
    return a.memory_ == b.memory_;
  }

 private:
  template <class>
  friend class SlabAllocator;

  Slab* memory_;  // may be gone when its blocks are returned
};

}  // namespace procpool::inline v0_1::parent
