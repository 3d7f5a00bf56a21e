#pragma once

// Chunk: consecutive elements of a task that travel together, as the scheduler hands them around.
// Batch: the encoded elements a chunk points into, shared by all chunks cut from it and freed when the
// last of their elements has ended.

#include <algorithm>
#include <atomic>
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

namespace procpool::inline v0::parent {

// A segment of a task as the engine keeps it until its elements have ended.
class SharedInput {
 public:
  SharedInput(detail::InputBuffer input, std::size_t element_size);

  // Its elements have waited long enough: those that have not begun never will.
  void expire() noexcept { expired_.store(true, std::memory_order_release); }
  bool expired() const noexcept { return expired_.load(std::memory_order_acquire); }

  std::uint64_t first() const noexcept { return first_; }
  std::uint64_t count() const noexcept { return count_; }

  // The bytes of elements [first, first + count) of the task. Any thread.
  std::span<std::byte const> bytes(std::uint64_t first, std::uint64_t count) const noexcept;

  // How many elements from this one on lie within so many bytes, but one in any case.
  std::uint64_t elements_within(std::uint64_t first, std::uint64_t bytes) const noexcept;

  // Shared values that its elements name.
  detail::Share::List const& shares() const noexcept { return shares_; }

  // For a chunk that is the whole batch: its bytes in message memory that is this worker's. They are
  // moved there if they are not yet; bytes() then serves from it. Only while no other chunk of the batch
  // exists. Throws std::system_error when there is no memory.
  std::shared_ptr<detail::MessageBlock> const& in_memory_of(BufferPool& buffer_pool,
                                                            BufferPool::Worker const& worker);

 private:
  std::uint64_t offset(std::uint64_t index) const noexcept;

  std::uint64_t first_;
  std::uint64_t count_;
  std::size_t element_size_;
  std::vector<std::uint64_t> ends_;
  detail::Bytes owned_;
  detail::Share::List shares_;
  std::atomic<bool> expired_{false};
  std::shared_ptr<detail::MessageBlock> block_;  // where the bytes lie, if in message memory
  std::span<std::byte const> all_;
};

// A copy of the bytes in message memory that is this worker's. Throws std::system_error.
std::shared_ptr<detail::MessageBlock> copy_for(BufferPool& buffer_pool,
                                               BufferPool::Worker const& worker,
                                               std::span<std::byte const> bytes);

struct Chunk {
  std::shared_ptr<detail::Task> task;
  std::shared_ptr<SharedInput> input;
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  // Workers that died with its first element next in turn and, as their marks say, not begun.
  unsigned attempt_deaths = 0;
  std::uint64_t order = 0;  // of its add() to the scheduler
  // An element that has begun before, and is to be run again: its time to wait is over.
  bool again = false;

  // Cuts the first `elements` off. Nothing but `count`, which is 0, may be asked of what is empty then.
  Chunk take_front(std::uint64_t elements) {
    if (elements == count) {
      Chunk all = std::move(*this);
      count = 0;
      return all;
    }
    Chunk front{task, input, first, elements, std::exchange(attempt_deaths, 0u), order, again};
    first += elements;
    count -= elements;
    return front;
  }
  // Cuts off all but the first `elements`.
  Chunk split_off(std::uint64_t keep) {
    Chunk back{task, input, first + keep, count - keep, 0, order, again};
    count = keep;
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
  // It has waited too long for its first begin.
  bool expired() const noexcept { return !again && input->expired(); }
  // No element of it may run any more: cancelled, or it has waited too long.
  bool unwanted() const noexcept { return first + count > task->cancelled_from() || expired(); }
};

// Grows by small pieces: where large ones are refused, nothing that is on its way somewhere may be lost.
using Chunks = boost::container::deque<Chunk>;

// "task 3, element 7": sentences of the engine begin with what they are about.
std::string element_text(std::uint64_t task, std::uint64_t first, std::uint64_t count);

}  // namespace procpool::inline v0::parent
