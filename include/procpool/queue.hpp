// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Queue<T>: items from any process to any process, each to one of them: first in, first out. A queue
// is a handle. It may be an argument or a result, lie in a struct, a container or a functor, be
// bound, and be given on to the pools of tasks. The memory goes with the last handle, whichever
// process dies first.
//
//   procpool::Queue<std::string> lines;
//   auto reader = pool.submit<read_lines>(path, lines);     // pushes, and closes at the end
//   for (std::string line : lines) count(line);

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <typeinfo>
#include <utility>

#include <procpool/count.hpp>
#include <procpool/detail/codec/codec.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/handle/has_handles.hpp>
#include <procpool/detail/handle/queue_resource.hpp>
#include <procpool/detail/handle/resource_codec.hpp>

namespace procpool::inline v0_1 {

/// The largest QueueOptions::items.
inline constexpr std::size_t max_queue_items = std::size_t{1} << 31;
/// The largest QueueOptions::bytes.
inline constexpr std::size_t max_queue_bytes = std::size_t{1} << 35;
/// How a Queue is made.
struct QueueOptions {
  Count items = 1024;  ///< the most items that wait
  /// The most bytes that they take, serialized: 16 more for each, rounded up to 16. Memory is used
  /// as it is needed.
  Count bytes = 64 * 1024 * 1024;
  /// How often an item is given again whose consumer died while it had it in hand. An item is in
  /// hand from pop until its thread asks for the next one, calls done(), or ends the element in
  /// which it took the item. At most 65,535.
  unsigned redeliver = 0;
};

/// Items from any process to any process, each to one: first in, first out. Items may hold handles,
/// which have up to eight descriptors together; such an item is never given again. Copies are the same
/// queue. Any thread of any process may call anything. Up to 256 threads take items. Each call
/// throws QueueBroken if a process has destroyed the queue's memory or its sockets, and
/// std::logic_error if the handle was moved from.
template <class T>
class Queue {
 public:
  class Iterator;

  /// A new queue with the default options. Throws SetupError when there is no memory or no
  /// descriptor.
  Queue() : Queue(QueueOptions()) {}
  /// A new queue. Throws std::invalid_argument for options that cannot be, such as fewer bytes than
  /// an item has, and SetupError when there is no memory or no descriptor.
  explicit Queue(QueueOptions const& options)
      : resource_(detail::QueueResource::create(
            typeid(T), detail::checked(options.items, "QueueOptions::items", max_queue_items),
            detail::checked(options.bytes, "QueueOptions::bytes", max_queue_bytes, smallest_bytes),
            options.redeliver, may_hold_handles)) {
    static_assert(detail::assert_transmissible<T>());
  }

  /// Waits for room. Once it has returned, the item is given to somebody, also if this process dies. Throws
  /// QueueClosed if the queue takes no more items, std::length_error if the item is larger than
  /// QueueOptions::bytes, std::bad_alloc when there is no memory, and what the encoding throws. The
  /// item was not taken then.
  void push(T const& item) const
    requires std::copy_constructible<T>
  {
    static_cast<void>(put(item, {}));
  }
  /// The same, for what is given away: pipe ends, and items that hold some. An item that was not taken
  /// stays with the caller.
  void push(T&& item) const { static_cast<void>(put(item, {})); }
  /// As push, but does not wait. False: there is no room.
  bool try_push(T const& item) const
    requires std::copy_constructible<T>
  {
    return put(item, detail::QueueResource::at_once);
  }
  /// The same, as for push.
  bool try_push(T&& item) const { return put(item, detail::QueueResource::at_once); }
  /// As push, but waits no longer than this. False: there was no room.
  template <class Rep, class Period>
  bool push_for(std::chrono::duration<Rep, Period> wait, T const& item) const
    requires std::copy_constructible<T>
  {
    return put(item, detail::deadline_after(wait));
  }
  /// The same, as for push.
  template <class Rep, class Period>
  bool push_for(std::chrono::duration<Rep, Period> wait, T&& item) const {
    return put(item, detail::deadline_after(wait));
  }

  /// Waits for the next item. Nothing, once the queue is drained. Ends the hold on the item that
  /// this thread took before. Throws SerializationError if the item cannot be decoded, which costs
  /// that item alone, and SetupError if 256 threads take items already. An item without handles that
  /// finds no memory (std::bad_alloc) stays in hand, and the next pop of this thread gives it: once.
  std::optional<T> pop() const { return take({}); }
  /// As pop, but does not wait. Nothing: there is no item now, or ever, see drained().
  std::optional<T> try_pop() const { return take(detail::QueueResource::at_once); }
  /// As pop, but waits no longer than this.
  template <class Rep, class Period>
  std::optional<T> pop_for(std::chrono::duration<Rep, Period> wait) const {
    return take(detail::deadline_after(wait));
  }
  /// Ends the hold on the item that this thread took last: it is not given again. If items are given
  /// again, consumers of a closed queue wait for each item in a hand. So a thread that takes no more
  /// items, and goes on with something else, calls it.
  void done() const { resource().done(); }
  /// How often the item that this thread has in hand was given before.
  unsigned attempts() const { return resource().attempts(); }

  /// No more items are taken. Those that wait can be popped. Any number of calls.
  void close() const { resource().close(); }
  /// True if the queue was closed.
  bool closed() const { return resource().closed(); }
  /// True if the queue is closed, has no items, and gives none again.
  bool drained() const { return resource().drained(); }
  /// The number of items that wait: a hint.
  std::size_t size() const { return resource().size(); }
  /// The number of items whose consumer died with them in hand, and that are not given again.
  std::uint64_t lost() const { return resource().lost(); }

  /// `for (T item : queue)` pops until the queue is drained. If the loop is left early, its last item
  /// stays in hand: see done().
  Iterator begin() const { return Iterator(*this); }
  /// See begin().
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  friend struct detail::StdCodec<Queue>;

  explicit Queue(std::shared_ptr<detail::QueueResource> resource) noexcept
      : resource_(std::move(resource)) {}

  static constexpr bool may_hold_handles = detail::has_handles<T> != detail::Handles::none;
  // For one item, or for the smallest if their size varies.
  static constexpr std::size_t smallest_bytes = 16 + (detail::fixed_size<T> + 15) / 16 * 16;

  std::shared_ptr<detail::QueueResource> const& shared_resource() const {
    if (!resource_) detail::refuse_empty_handle(detail::Resource::Kind::queue);
    return resource_;
  }
  detail::QueueResource& resource() const { return *shared_resource(); }

  bool put(T const& item, detail::QueueResource::Deadline const& deadline) const {
    static_assert(detail::assert_transmissible<T>());
    if constexpr (detail::fixed_size<T> != 0) {
      return resource().push(std::as_bytes(std::span(std::addressof(item), 1)), deadline);
    } else if constexpr (may_hold_handles) {
      // A copy: a `serialize` of the user may drop the handle.
      auto const queue = shared_resource();
      detail::ItemBytes bytes;
      detail::NamedResources handles;
      {
        detail::ResourceCollector const collector(handles.list());
        detail::encode(*bytes, item);
      }
      if (!queue->push(*bytes, handles.list(), deadline)) return false;
      handles.sent();
      return true;
    } else {
      detail::QueueResource& queue = resource();
      detail::ItemBytes bytes;
      detail::encode(*bytes, item);
      return queue.push(*bytes, deadline);
    }
  }

  std::optional<T> take(detail::QueueResource::Deadline const& deadline) const {
    static_assert(detail::assert_transmissible<T>());
    detail::QueueResource& queue = resource();
    detail::ItemBytes bytes;
    if constexpr (may_hold_handles) {
      detail::Resource::List handles;
      if (!queue.pop(*bytes, handles, deadline)) return std::nullopt;
      try {
        // The item names its own handles, and no others of this process.
        detail::ResourceScope const scope(&handles);
        return detail::decode<T>(*bytes);
      } catch (std::bad_alloc const&) {
        if (resource_) resource_->keep(*bytes, handles);
        throw;
      }
    } else {
      if (!queue.pop(*bytes, deadline)) return std::nullopt;
      try {
        return detail::decode<T>(*bytes);
      } catch (std::bad_alloc const&) {
        if (resource_) resource_->keep(*bytes);
        throw;
      }
    }
  }

  std::shared_ptr<detail::QueueResource> resource_;
};

/// Pops an item with each step, through a handle of its own. One thread.
template <class T>
class Queue<T>::Iterator {
 public:
  using iterator_concept = std::input_iterator_tag;
  using value_type = T;
  using difference_type = std::ptrdiff_t;

  /// For Queue::begin.
  explicit Iterator(Queue const& queue) : queue_(queue), item_(queue.pop()) {}
  Iterator(Iterator&&) = default;
  Iterator& operator=(Iterator&&) = default;

  /// The item, to be taken.
  T&& operator*() const noexcept { return std::move(*item_); }
  /// Ends the hold on the item, and waits for the next one.
  Iterator& operator++() {
    item_.reset();
    item_ = queue_.pop();
    return *this;
  }
  /// The same.
  void operator++(int) { ++*this; }
  /// True once the queue is drained.
  bool operator==(std::default_sentinel_t) const noexcept { return !item_; }

 private:
  Queue queue_;
  mutable std::optional<T> item_;
};

namespace detail {

template <class T>
inline constexpr bool is_handle<Queue<T>> = true;

template <class T>
struct StdCodec<Queue<T>> {
  using Parts = Types<T>;
  static constexpr std::size_t least = sizeof(std::uint64_t);

  // A queue of its own would be made first, and then dropped.
  static consteval bool made_whole() { return true; }

  static void save(Sink& out, Queue<T> const& value) {
    static_cast<void>(value.resource());  // one that was moved from cannot travel
    save_resource(out, value.resource_);
  }
  static Queue<T> make(Source& in) { return Queue<T>(load_resource<QueueResource>(in, typeid(T))); }
};

}  // namespace detail

}  // namespace procpool::inline v0_1
