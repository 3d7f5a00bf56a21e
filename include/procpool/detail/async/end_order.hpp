#pragma once

// EndOrder: the order in which some completions end, for one thread that wants to know.

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include <procpool/detail/async/completion.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0::detail {

class PROCPOOL_API EndOrder {
 public:
  // Of so many.
  explicit EndOrder(std::size_t completions);

  // Once for each, in order.
  static void add(std::shared_ptr<EndOrder> const& order, Completion& completion) noexcept;

  // Blocks until so many and one more have ended; which one that was. Throws SetupError in a forked child
  // if that has not happened.
  std::size_t wait(std::size_t before);

  // Nobody wants to know any more.
  void leave() noexcept { left_.store(true, std::memory_order_relaxed); }

 private:
  class Ended;

  // Without the mutex: number_ has counted this entry already, which does not move.
  std::size_t entry(std::size_t index) const PROCPOOL_UNCHECKED_LOCKS { return ended_[index]; }

  unsigned const forks_;
  std::vector<std::unique_ptr<Completion::Callback>>
      end_callbacks_;  // for those that are to be added
  std::size_t added_ = 0;
  std::atomic<bool> left_{false};
  Mutex mutex_;
  Condition more_;
  std::atomic<std::size_t> number_{0};                          // of those that have ended
  std::vector<std::size_t> ended_ PROCPOOL_GUARDED_BY(mutex_);  // has room for all from the start
};

}  // namespace procpool::inline v0::detail
