#pragma once

// Slab: memory for a pool's many small objects of one size, such as the ledger's entry of each
// submitted call. A program that queues a million of them would spend a third of its time in page faults,
// and in joining freed pieces again, if they came from the heap. Here they lie side by side in regions that
// the kernel fills at once; regions in which nothing lies are kept warm for a second or two.
//
// Any thread may take and give, also one that has not taken what it gives. The mutex is held for some
// instructions and may be taken under any other; under it only what `expect` takes is. Blocks may outlive
// the pool, and keep this alive. In a forked child nothing can be taken and giving does nothing: its
// memory is a copy that goes with it. A crash leaves nothing behind.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <new>
#include <optional>

#include <procpool/detail/engine/mutex.hpp>

namespace procpool::inline v0::parent {

class Slab : public std::enable_shared_from_this<Slab> {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `expect`: called, under the lock, when trim() should look soon.
  explicit Slab(std::function<void()> expect = {});
  Slab(Slab const&) = delete;
  Slab& operator=(Slab const&) = delete;

  // `bytes`: the same each time. Aligned as a cache line is. Throws std::bad_alloc.
  void* take(std::size_t bytes);
  static void give(void* block) noexcept;

  // Lets regions go that were empty all the time since the last look; says when to look again.
  std::optional<TimePoint> trim(TimePoint now);
  // Keeps nothing from now on, and expects nothing.
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

  std::function<void()> expect_;
  unsigned const forks_;
  mutable detail::Mutex mutex_;
  std::size_t bytes_ PROCPOOL_GUARDED_BY(mutex_) = 0;  // of a block
  Region* first_ PROCPOOL_GUARDED_BY(mutex_) =
      nullptr;  // of those that hold something and have room: a list
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

  Slab* memory_;  // may be gone when what it gave is given back
};

}  // namespace procpool::inline v0::parent
