// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// EndOrder: the order in which some completions end. For one thread at a time.

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include <procpool/detail/async/completion.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

class PROCPOOL_API EndOrder {
 public:
  // Throws std::bad_alloc. After that nothing allocates.
  explicit EndOrder(std::size_t completions);

  // Adds a completion; once for each, in order. The n-th has index n.
  static void add(std::shared_ptr<EndOrder> const& order,
                  std::shared_ptr<Completion> const& completion) noexcept;

  // Blocks until more than `before` completions have ended, and returns the index of the next one.
  // A forked child throws SetupError unless that had happened before the fork. Throws
  // std::system_error if the caller's own thread would have to end all that are left.
  std::size_t wait(std::size_t before);

  // Does not wait: have more than `before` ended?
  bool has(std::size_t before) const noexcept {
    // Acquire: pairs with the store in ended().
    return number_.load(std::memory_order_acquire) > before;
  }
  // `callback` is called as soon as has(before). False: it has, and nothing was taken. Throws
  // SetupError in a forked child.
  bool call_at(std::size_t before, std::unique_ptr<Completion::Callback>&& callback);

  // The order is not asked for any more.
  void leave() noexcept { left_.store(true, std::memory_order_relaxed); }

 private:
  class Ended;

  void check_process() const;
  void check_not_for_this_thread(std::size_t before) PROCPOOL_EXCLUDES(mutex_);

  // Without the mutex: number_ has counted this entry, and entries do not move.
  std::size_t entry(std::size_t index) const PROCPOOL_UNCHECKED_LOCKS { return ended_[index]; }

  unsigned const forks_;
  std::vector<std::unique_ptr<Completion::Callback>> end_callbacks_;  // for completions to be added
  std::size_t added_ = 0;
  std::atomic<bool> left_{false};
  Mutex mutex_;
  Condition more_;
  std::atomic<std::size_t> number_{0};                          // of entries in ended_
  std::vector<std::size_t> ended_ PROCPOOL_GUARDED_BY(mutex_);  // has room for all from the start
  std::vector<std::weak_ptr<Completion>> open_ PROCPOOL_GUARDED_BY(mutex_);    // by index
  std::unique_ptr<Completion::Callback> at_next_ PROCPOOL_GUARDED_BY(mutex_);  // see call_at()
};

}  // namespace procpool::inline v0_1::detail
