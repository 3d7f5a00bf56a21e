// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Chunk: consecutive elements of a task that go to a worker together.
// SharedInput: the encoded elements that a chunk points into. All chunks cut from it share it; it is freed
// when the last of their elements has ended.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>

#include <boost/container/deque.hpp>

#include <procpool/detail/engine/task.hpp>

#include "parent/buffer_pool.hpp"
#include "parent/load.hpp"

namespace procpool::inline v0_1::parent {

// An input buffer of a task, as the engine keeps it until its elements have ended.
class SharedInput {
 public:
  SharedInput(detail::InputBuffer&& input, std::size_t element_size);

  // What time has done to the elements that wait. It only grows.
  enum class Expiry : std::uint8_t {
    none,
    not_begun,  // the queue_timeout is over: those that have not begun never will
    all         // the deadline is over: the same for those that were to be run again
  };
  // By one thread.
  void expire(Expiry expiry) noexcept {
    if (expiry > this->expiry()) expiry_.store(expiry, std::memory_order_release);
  }
  Expiry expiry() const noexcept { return expiry_.load(std::memory_order_acquire); }

  // When its elements were queued, for the counters. `times`: what each of them counts as; 0: the time
  // is not known. Before another thread has the input.
  struct Queued {
    std::chrono::steady_clock::time_point when{};
    std::uint8_t times = 0;
  };
  void note_queued(Queued queued) noexcept { queued_ = queued; }
  Queued queued() const noexcept { return queued_; }

  std::uint64_t first() const noexcept { return first_; }
  std::uint64_t count() const noexcept { return count_; }

  // The bytes of elements [first, first + count) of the task. Any thread.
  std::span<std::byte const> bytes(std::uint64_t first, std::uint64_t count) const noexcept;

  // The number of elements from this one on that lie within so many bytes. At least one.
  std::uint64_t elements_within(std::uint64_t first, std::uint64_t bytes) const noexcept;

  // The resources that its elements name.
  detail::Resource::List const& resources() const noexcept { return resources_; }

  // For a chunk that is the whole input: its bytes in message memory that this worker may read. Unless
  // they lie in such memory, they are moved there; bytes() then serves from it. Only while no other
  // chunk of the input exists. Throws std::system_error when there is no memory.
  std::shared_ptr<detail::MessageBlock> const& in_memory_of(BufferPool& buffer_pool,
                                                            BufferPool::Worker const& worker);

 private:
  std::uint64_t offset(std::uint64_t index) const noexcept;

  std::uint64_t first_;
  std::uint64_t count_;
  std::size_t element_size_;
  std::vector<std::uint64_t> ends_;
  detail::Bytes owned_;
  detail::Resource::List resources_;
  std::atomic<Expiry> expiry_{Expiry::none};
  Queued queued_;
  std::shared_ptr<detail::MessageBlock> block_;  // where the bytes lie, if in message memory
  std::span<std::byte const> all_;
};

// A copy of the bytes in message memory that this worker may read. Throws std::system_error.
std::shared_ptr<detail::MessageBlock> copy_for(BufferPool& buffer_pool,
                                               BufferPool::Worker const& worker,
                                               std::span<std::byte const> bytes);

struct Chunk {
  std::shared_ptr<detail::Task> task;
  std::shared_ptr<SharedInput> input;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  // Workers that died with the first element next in turn and, as their marks say, not begun.
  unsigned attempt_deaths = 0;
  std::uint64_t order = 0;  // of its add() to the scheduler
  // An element that has begun before, and is to be run again: its queue_timeout has no meaning any more.
  bool again = false;
  std::uint64_t estimate_ns = 0;  // for all elements, as estimated when it was taken off the queue

  std::uint64_t end() const noexcept { return first + count; }  // behind its last element

  // The work that it counts as.
  Amount amount() const noexcept {
    if (task->internal()) return {};
    return {count, 1, task->key() ? 1u : 0u, estimate_ns};
  }

  // Cuts the first `elements` off. Of a chunk that is empty then, only `count`, which is 0, has a
  // meaning.
  Chunk take_front(std::uint64_t elements) {
    if (elements == count) {
      Chunk all = std::move(*this);
      count = 0;
      return all;
    }
    Chunk front{task,
                input,
                first,
                elements,
                std::exchange(attempt_deaths, 0u),
                order,
                again,
                share_of_estimate(elements)};
    drop_front(elements);
    return front;
  }
  // The first `elements`, which are not all, are over.
  void drop_front(std::uint64_t elements) noexcept {
    estimate_ns -= share_of_estimate(elements);
    first += elements;
    count -= elements;
    attempt_deaths = 0;  // these were of the first element
  }
  // Cuts off all but the first `elements`.
  Chunk split_off(std::uint64_t keep) {
    std::uint64_t const kept = share_of_estimate(keep);
    Chunk back{task, input, first + keep, count - keep, 0, order, again, estimate_ns - kept};
    count = keep;
    estimate_ns = kept;
    return back;
  }
  // Cuts off what lies at or above this index of the task.
  Chunk take_from(std::uint64_t index) {
    return split_off(index <= first ? 0 : std::min(count, index - first));
  }
  std::span<std::byte const> bytes() const noexcept { return input->bytes(first, count); }
  std::uint64_t elements_within(std::uint64_t bytes) const noexcept {
    return std::min(count, input->elements_within(first, bytes));
  }
  bool whole_input() const noexcept { return count == input->count(); }
  // The elements have waited too long.
  bool expired() const noexcept {
    auto const expiry = input->expiry();
    return expiry != SharedInput::Expiry::none && (!again || expiry == SharedInput::Expiry::all);
  }
  // No element of it may run any more: cancelled, or it has waited too long.
  bool unwanted() const noexcept { return end() > task->cancelled_from() || expired(); }

  // Of so many of the elements. An aggregate has no private members.
  std::uint64_t share_of_estimate(std::uint64_t elements) const noexcept {
    if (estimate_ns == 0 || elements == count) return estimate_ns;
    double const share = static_cast<double>(elements) / static_cast<double>(count);
    return static_cast<std::uint64_t>(static_cast<double>(estimate_ns) * share);
  }
};

// Grows by small pieces: chunks that are on their way must not be lost because a large piece of memory is
// refused.
using Chunks = boost::container::deque<Chunk>;

// "task 3, element 7": the subject of an error text.
std::string element_text(detail::Task const& task, std::uint64_t first, std::uint64_t count);

}  // namespace procpool::inline v0_1::parent
