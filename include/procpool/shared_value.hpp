// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// SharedValue<T>: one value in memory that all its holders share, in every process: a counter, a
// flag that others wait for, a struct behind a lock.
//
// Any thread of any process may copy, drop and use handles. A value is used in one of two ways: by
// the atomic operations, or under the lock. The memory lives until the last process has dropped its
// last handle; the death of a process takes nothing from others.

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/handle/has_handles.hpp>
#include <procpool/detail/handle/in_shared_memory.hpp>
#include <procpool/detail/handle/resource_codec.hpp>
#include <procpool/detail/handle/shared_memory.hpp>

namespace procpool::inline v0_1 {

/// A handle of a T in shared memory. Copies, also those in other processes, refer to the same T. A
/// const handle is no promise about the value. All members throw std::logic_error if the handle was
/// moved from.
template <class T>
class SharedValue {
 public:
  static_assert(!std::is_const_v<T>, "procpool: a SharedValue can be written to: leave out const");
  static_assert(detail::check_in_shared_memory<T>());

  /// A new T(). Throws SetupError if there is no memory or no descriptor.
  SharedValue()
    requires std::default_initializable<T>
      : SharedValue(T()) {}
  /// A new copy of `value`. Throws as the other.
  explicit SharedValue(T const& value) : SharedValue(detail::SharedMemory::create(1, sizeof(T))) {
    std::memcpy(static_cast<void*>(data_), std::addressof(value), sizeof(T));
  }

  // ---- atomic operations, in one order that all processes agree on

  /// The value at one instant.
  T load() const { return atomic().load(); }
  /// Replaces the value.
  void store(T value) const {
    atomic().store(value);
    view_->changed();
  }
  /// The value of before.
  T exchange(T value) const {
    T const before = atomic().exchange(value);
    view_->changed();
    return before;
  }
  /// Stores `desired` if the value has the bytes of `expected`. False: it had not, and `expected`
  /// has the value now.
  bool compare_exchange(T& expected, T desired) const {
    bool const done = atomic().compare_exchange_strong(expected, desired);
    if (done) view_->changed();
    return done;
  }
  /// The value of before.
  T fetch_add(T by) const
    requires(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
  {
    T const before = atomic().fetch_add(by);
    view_->changed();
    return before;
  }

  /// Blocks until the bytes of the value differ from those of `old`, and returns the value. Changes
  /// by the atomic operations end the wait at once; if the process that made one dies before it has
  /// told, a tenth of a second later.
  T wait(T const& old) const { return *wait_until(std::nullopt, old); }
  /// The same, but no longer than this; nothing: the time was over.
  template <class Rep, class Period>
  std::optional<T> wait_for(std::chrono::duration<Rep, Period> time, T const& old) const {
    return wait_until(detail::deadline_after(time), old);
  }

  // ---- under the lock

  /// Calls f(T&) while no other thread of any process is in with_lock of this value. Returns, throws
  /// and blocks as SharedArray::with_lock.
  template <class F>
  decltype(auto) with_lock(F&& f) const {
    return detail::call_locked(view(), *data_, std::forward<F>(f));
  }
  /// The same, but where it would throw HolderDied it calls repair(T&) first.
  template <class F, class Repair>
  decltype(auto) with_lock(F&& f, Repair&& repair) const {
    return detail::call_locked(view(), *data_, std::forward<F>(f), std::forward<Repair>(repair));
  }
  /// The same, but waits no longer than this for the lock. False: the time was over, and f was not
  /// called.
  template <class Rep, class Period, class F>
  bool with_lock_for(std::chrono::duration<Rep, Period> wait, F&& f) const {
    return detail::call_locked_until(detail::deadline_after(wait), view(), *data_,
                                     std::forward<F>(f));
  }
  /// A copy, made under the lock.
  T get() const {
    return with_lock([](T const& value) { return value; });
  }
  /// Under the lock.
  void set(T const& value) const {
    with_lock([&](T& place) { place = value; });
  }

 private:
  friend struct detail::StdCodec<SharedValue>;

  explicit SharedValue(std::shared_ptr<detail::SharedMemory> memory)
      : memory_(std::move(memory)),
        view_(memory_->kept_view()),
        data_(reinterpret_cast<T*>(view_->data())) {}

  std::shared_ptr<detail::MemoryView> const& view() const {
    if (!view_) detail::refuse_empty_handle(detail::Resource::Kind::memory);
    return view_;
  }
  std::atomic_ref<T> atomic() const {
    static_assert(std::atomic_ref<T>::is_always_lock_free,
                  "procpool: a value of this type has no atomic access without a lock, and a lock "
                  "of one process is unknown to others: use with_lock, get and set");
    static_cast<void>(view());
    return std::atomic_ref<T>(*data_);
  }
  std::optional<T> wait_until(std::optional<detail::TimePoint> const& deadline,
                              T const& old) const {
    auto const differs = [&](T const& now) {
      return std::memcmp(std::addressof(now), std::addressof(old), sizeof(T)) != 0;
    };
    for (;;) {
      T const now = load();
      if (differs(now)) return now;
      if (deadline && std::chrono::steady_clock::now() >= *deadline) return std::nullopt;
      view_->sleep(deadline, [&] { return differs(load()); });
    }
  }

  std::shared_ptr<detail::SharedMemory> memory_;
  std::shared_ptr<detail::MemoryView> view_;
  T* data_;
};

namespace detail {

template <class T>
inline constexpr bool is_handle<SharedValue<T>> = true;

template <class T>
struct StdCodec<SharedValue<T>> {
  using Parts = Types<>;
  static constexpr std::size_t least = sizeof(std::uint64_t);
  // A blank one would be memory of its own.
  static consteval bool made_whole() { return true; }

  static void save(Sink& out, SharedValue<T> const& value) {
    if (!value.memory_) refuse_empty_handle(Resource::Kind::memory);
    save_resource(out, value.memory_);
  }
  static SharedValue<T> make(Source& in) {
    auto memory = load_resource<SharedMemory>(in);
    if (memory->size() < sizeof(T)) refuse_part();
    return SharedValue<T>(std::move(memory));
  }
};

}  // namespace detail

}  // namespace procpool::inline v0_1
