// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// SharedMemory: memory that several processes map, behind SharedArray<T> and SharedValue<T>. It is
// a memory file without a name: one page with the words of its lock, then the data, zero at first.
// Its size never changes. MemoryView is one mapping of it, MemoryGuard holds its lock.
//
// Any thread may call anything. The file lives as long as a descriptor or a mapping of any process,
// so a crash leaves nothing. A process that dies with the lock leaves the memory *poisoned*: its
// data may be half written. Any process may write any bytes into the data and the words. Words are
// loaded once, and no word leads to an access outside of the memory.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/detail/handle/resource.hpp>

namespace procpool::inline v0_1::os {
class Mapping;
class Memfd;
}  // namespace procpool::inline v0_1::os

namespace procpool::inline v0_1::detail {

enum class MemoryAccess : bool { read, write };

// A mapping of shared memory, which lasts as long as the object.
class PROCPOOL_API MemoryView {
 public:
  MemoryView(os::Memfd const& file, MemoryAccess access);
  MemoryView(MemoryView const&) = delete;
  MemoryView& operator=(MemoryView const&) = delete;
  ~MemoryView();

  std::byte* data() const noexcept { return data_; }

  // The rest is of views with MemoryAccess::write alone.

  // False: the deadline has passed. Throws std::system_error if this thread holds the lock.
  bool lock(std::optional<TimePoint> const& deadline);
  void unlock() noexcept;
  // Under the lock.
  bool poisoned() const noexcept;
  void mend() noexcept;

  // Data that others may wait for has changed.
  void changed() noexcept;
  // Blocks unless the data are `ready()`: until a change, until the deadline, or for a tenth of a
  // second. The process that changed the data may have died before it said so.
  template <class Looks>
  void sleep(std::optional<TimePoint> const& deadline, Looks const& ready) {
    sleep(
        deadline, [](void const* looks) { return (*static_cast<Looks const*>(looks))(); }, &ready);
  }

 private:
  friend class SharedMemory;

  using Ready = bool (*)(void const* context);
  struct State;

  void sleep(std::optional<TimePoint> const& deadline, Ready ready, void const* context);

  std::unique_ptr<State> const state_;
  std::byte* const data_;
};

class PROCPOOL_API SharedMemory : public Resource {
 public:
  // For `count` elements of so many bytes each. Throws std::length_error for more bytes than a file
  // can have, SetupError when there is no memory or no descriptor.
  static std::shared_ptr<SharedMemory> create(std::size_t count, std::size_t element_bytes);
  // As Resource::adopt. Takes the descriptors that it uses.
  static std::shared_ptr<Resource> adopt(std::uint64_t id, std::vector<os::UniqueFd>& descriptors);
  // See Resource::find.
  static std::shared_ptr<SharedMemory> find(std::uint64_t id);

  ~SharedMemory() override;
  std::vector<int> descriptors() const override;

  // Bytes of the data.
  std::size_t size() const noexcept { return size_; }

  // The mapping that this process has, or a new one. Throws SetupError if there is no room for it,
  // and SerializationError for writing to memory that was frozen.
  std::shared_ptr<MemoryView> view(MemoryAccess access);
  // The same for writing. The mapping stays as long as this object.
  std::shared_ptr<MemoryView> kept_view();

  // Makes writing impossible for everybody, for ever. `view` is for writing, and stays where it is: it
  // is for reading afterwards. Waits until nobody else has a view for writing. Throws StillShared if
  // the deadline passes first, SetupError if the system refuses it; `view` is as it was then. It is
  // null if the system takes it away and does not give it back, for want of memory.
  void freeze(std::shared_ptr<MemoryView>& view, std::optional<TimePoint> const& deadline);
  bool frozen() const noexcept;

 private:
  SharedMemory(std::uint64_t id, os::Memfd file);
  std::shared_ptr<MemoryView> mapped(MemoryAccess access) PROCPOOL_REQUIRES(mapping_);
  bool try_freeze(std::shared_ptr<MemoryView>& view, os::Memfd const& readable);
  bool show_for_writing(os::Mapping& mapping) const;

  std::unique_ptr<os::Memfd> const file_;
  std::size_t const size_;  // as the system says: no word of the memory is asked
  Mutex mapping_;
  std::weak_ptr<MemoryView> reader_ PROCPOOL_GUARDED_BY(mapping_);
  std::weak_ptr<MemoryView> writer_ PROCPOOL_GUARDED_BY(mapping_);
  std::shared_ptr<MemoryView> kept_ PROCPOOL_GUARDED_BY(mapping_);
};

// Holds the lock of a view, unless the deadline passed first. The view lasts as long as the guard:
// code that runs under the lock may drop the last handle.
class PROCPOOL_API MemoryGuard {
 public:
  explicit MemoryGuard(std::shared_ptr<MemoryView> view,
                       std::optional<TimePoint> const& deadline = {})
      : view_(std::move(view)), held_(view_->lock(deadline)) {}
  MemoryGuard(MemoryGuard const&) = delete;
  MemoryGuard& operator=(MemoryGuard const&) = delete;
  ~MemoryGuard() {
    if (held_) view_->unlock();
  }

  bool held() const noexcept { return held_; }
  bool poisoned() const noexcept { return view_->poisoned(); }
  void mend() noexcept { view_->mend(); }
  // Throws HolderDied if the memory is poisoned.
  void require_intact() const {
    if (poisoned()) refuse();
  }

 private:
  [[noreturn]] static void refuse();

  std::shared_ptr<MemoryView> const view_;
  bool const held_;
};

// Calls f(data) under the lock. For the errors see SharedArray::with_lock.
template <class Data, class F>
decltype(auto) call_locked(std::shared_ptr<MemoryView> const& view, Data&& data, F&& f) {
  MemoryGuard const guard(view);
  guard.require_intact();
  return std::forward<F>(f)(std::forward<Data>(data));
}
template <class Data, class F, class Repair>
decltype(auto) call_locked(std::shared_ptr<MemoryView> const& view, Data&& data, F&& f,
                           Repair&& repair) {
  MemoryGuard guard(view);
  if (guard.poisoned()) {
    std::forward<Repair>(repair)(data);
    guard.mend();
  }
  return std::forward<F>(f)(std::forward<Data>(data));
}
template <class Data, class F>
bool call_locked_until(std::optional<TimePoint> const& deadline,
                       std::shared_ptr<MemoryView> const& view, Data&& data, F&& f) {
  MemoryGuard const guard(view, deadline);
  if (!guard.held()) return false;
  guard.require_intact();
  std::forward<F>(f)(std::forward<Data>(data));
  return true;
}

[[noreturn]] PROCPOOL_API void refuse_slice();  // std::out_of_range
[[noreturn]] PROCPOOL_API void refuse_part();   // SerializationError

}  // namespace procpool::inline v0_1::detail
