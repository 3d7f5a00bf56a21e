// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// SharedArray<T>: elements in memory that all its holders share, in every process. Nothing is copied
// when it is an argument, a result, or a part of one. SharedArray<T const> is for reading only.
//
// Any thread of any process may copy, drop and use handles. Access to the elements is as access to
// memory that threads share: concurrent writers need `atomic` or `with_lock`. The memory lives until
// the last process has dropped its last handle; the death of a process takes nothing from others.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>

#include <procpool/count.hpp>
#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/handle/has_handles.hpp>
#include <procpool/detail/handle/in_shared_memory.hpp>
#include <procpool/detail/handle/resource_codec.hpp>
#include <procpool/detail/handle/shared_memory.hpp>
#include <procpool/duration.hpp>

namespace procpool::inline v0_1 {

/// What can lie in shared memory: plain bytes without a pointer among them.
template <class T>
concept InSharedMemory = std::is_trivially_copyable_v<T> && detail::holds_no_pointer<T>;

/// The repair for `with_lock` that trusts the data as the dead process left them.
struct Keep {
  /// Does nothing.
  template <class Data>
  constexpr void operator()(Data&&) const noexcept {}
};
/// See Keep.
inline constexpr Keep keep{};

/// A handle of `size()` elements in shared memory: a contiguous range. Copies, also those in other
/// processes, refer to the same elements. A const handle is no promise about the elements.
template <class T>
class SharedArray {
 public:
  static_assert(detail::check_in_shared_memory<T>());

  using value_type = std::remove_const_t<T>;
  using element_type = T;
  using iterator = T*;

  /// Refers to nothing: an empty range. So does a handle that was moved from.
  SharedArray() = default;

  /// New elements, whose bytes are zero. Blocks while the system finds the memory (0.2 s for a
  /// GiB). Throws std::invalid_argument for a negative size, std::length_error for a size beyond
  /// any memory, SetupError if there is no memory or no descriptor.
  explicit SharedArray(Count size)
    requires(!std::is_const_v<T>)
      : memory_(detail::SharedMemory::create(
            detail::checked(size, "the size of a SharedArray", SIZE_MAX, 0), sizeof(T))),
        size_(memory_->size() / sizeof(T)) {
    map(0);
  }

  SharedArray(SharedArray const&) = default;
  SharedArray(SharedArray&& other) noexcept
      : memory_(std::move(other.memory_)),
        view_(std::move(other.view_)),
        data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)) {}
  SharedArray& operator=(SharedArray other) noexcept {
    memory_.swap(other.memory_);
    view_.swap(other.view_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~SharedArray() = default;

  /// The same elements for reading only. A write through this handle is a SIGSEGV in the process
  /// that writes. Throws SetupError if there is no room in the address space.
  operator SharedArray<T const>() const  // NOLINT(google-explicit-constructor): as T* to T const*
    requires(!std::is_const_v<T>)
  {
    if (!memory_) return {};
    return SharedArray<T const>(memory_, first(), size_);
  }

  T* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  T* begin() const noexcept { return data_; }
  T* end() const noexcept { return data_ + size_; }
  /// Not checked, as in a std::span.
  T& operator[](std::size_t i) const noexcept { return data_[i]; }

  /// A handle of `count` elements from `first` on, which shares everything with this one. Throws
  /// std::out_of_range if they are not all in this range.
  SharedArray slice(std::size_t first, std::size_t count) const {
    if (first > size_ || count > size_ - first) detail::refuse_slice();
    SharedArray part = *this;
    part.data_ += first;
    part.size_ = count;
    return part;
  }

  /// An element for atomic access, by all processes.
  auto atomic(std::size_t i) const noexcept
    requires(!std::is_const_v<T>)
  {
    static_assert(std::atomic_ref<T>::is_always_lock_free,
                  "procpool: elements of this type have no atomic access without a lock, and a "
                  "lock of one process is unknown to others: use with_lock");
    return std::atomic_ref<T>(data_[i]);
  }

  /// Calls f(std::span<T>) while no other thread of any process is in with_lock of this memory (all
  /// slices of an array have one lock). Returns what f returns; what f throws passes through, and
  /// the lock is free again. Blocks as long as a living thread holds the lock.
  ///
  /// If a process dies in its f, this throws HolderDied, in every process, until a call with a
  /// repair has succeeded. Throws std::system_error (resource_deadlock_would_occur) if this thread
  /// is in with_lock of this memory already, std::logic_error if the handle refers to nothing.
  template <class F>
  decltype(auto) with_lock(F&& f) const
    requires(!std::is_const_v<T>)
  {
    return detail::call_locked(view(), span(), std::forward<F>(f));
  }

  /// The same, but where it would throw HolderDied it calls repair(std::span<T>) first, under the
  /// lock. If that returns, the data count as whole again. procpool::keep takes them as they are.
  template <class F, class Repair>
  decltype(auto) with_lock(F&& f, Repair&& repair) const
    requires(!std::is_const_v<T>)
  {
    return detail::call_locked(view(), span(), std::forward<F>(f), std::forward<Repair>(repair));
  }

  /// The same, but waits no longer than this for the lock. False: the time was over, and f was not
  /// called.
  template <class Rep, class Period, class F>
  bool with_lock_for(std::chrono::duration<Rep, Period> wait, F&& f) const
    requires(!std::is_const_v<T>)
  {
    return detail::call_locked_until(detail::deadline_after(wait), view(), span(),
                                     std::forward<F>(f));
  }

  /// Makes writing impossible in every process, for ever, also through other handles and by means
  /// of the system. Of a slice: of the whole array. Blocks until nobody else has a handle for writing
  /// any more, at most for `wait`. The elements keep their addresses. No other thread may read or
  /// write them meanwhile. Throws StillShared if the time is over, and SetupError if the system
  /// refuses; this handle is as it was then. If the system has no memory for its own lists, the
  /// handle may be empty instead.
  SharedArray<T const> freeze(Milliseconds wait = std::chrono::seconds(1)) &&
      requires(!std::is_const_v<T>) {
        static_cast<void>(view());
        try {
          memory_->freeze(view_, detail::deadline_after(std::chrono::milliseconds(wait)));
        } catch (...) {
          if (!view_) *this = SharedArray();
          throw;
        }
        SharedArray<T const> frozen;
        frozen.memory_ = std::move(memory_);
        frozen.view_ = std::move(view_);
        frozen.data_ = std::exchange(data_, nullptr);
        frozen.size_ = std::exchange(size_, 0);
        return frozen;
      }

      /// True if freeze() has succeeded, in any process.
      bool frozen() const noexcept {
    return memory_ != nullptr && memory_->frozen();
  }

 private:
  template <class>
  friend class SharedArray;
  friend struct detail::StdCodec<SharedArray>;

  static constexpr auto access =
      std::is_const_v<T> ? detail::MemoryAccess::read : detail::MemoryAccess::write;

  SharedArray(std::shared_ptr<detail::SharedMemory> memory, std::size_t first, std::size_t count)
      : memory_(std::move(memory)), size_(count) {
    map(first);
  }

  void map(std::size_t first) {
    view_ = memory_->view(access);
    data_ = reinterpret_cast<T*>(view_->data()) + first;
  }
  std::size_t first() const noexcept {
    return static_cast<std::size_t>(data_ - reinterpret_cast<T*>(view_->data()));
  }
  std::span<T> span() const noexcept { return {data_, size_}; }
  std::shared_ptr<detail::MemoryView> const& view() const {
    if (!view_) detail::refuse_empty_handle(detail::Resource::Kind::memory);
    return view_;
  }

  std::shared_ptr<detail::SharedMemory> memory_;
  std::shared_ptr<detail::MemoryView> view_;
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

namespace detail {

template <class T>
inline constexpr bool is_handle<SharedArray<T>> = true;

// The id of the memory, the first element, and how many.
template <class T>
struct StdCodec<SharedArray<T>> {
  using Parts = Types<>;
  static constexpr std::size_t least = 3 * sizeof(std::uint64_t);

  static void save(Sink& out, SharedArray<T> const& array) {
    save_resource(out, array.memory_);
    out.scalar(static_cast<std::uint64_t>(array.memory_ ? array.first() : 0));
    out.scalar(static_cast<std::uint64_t>(array.size_));
  }
  static void load(Source& in, SharedArray<T>& array) {
    auto memory = load_resource_or_null<SharedMemory>(in);
    auto const first = in.scalar<std::uint64_t>();
    auto const count = in.scalar<std::uint64_t>();
    array = SharedArray<T>();
    if (!memory) return;
    std::uint64_t const all = memory->size() / sizeof(T);
    if (first > all || count > all - first) refuse_part();
    array = SharedArray<T>(std::move(memory), first, count);
  }
};

}  // namespace detail

}  // namespace procpool::inline v0_1
