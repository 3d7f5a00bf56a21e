// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/async/end_order.hpp>

#include <utility>

#include <procpool/detail/async/callbacks.hpp>
#include <procpool/detail/async/composed.hpp>
#include <procpool/detail/async/nest.hpp>
#include <procpool/errors.hpp>

#include "engine/fork_detection.hpp"

namespace procpool::inline v0_1::detail {

class EndOrder::Ended final : public Completion::Callback {
 public:
  std::shared_ptr<EndOrder> order;
  std::size_t index = 0;

  void ended() noexcept override {
    std::unique_ptr<Callback> told;
    {
      Lock const lock(order->mutex_);
      order->open_[index].reset();
      order->ended_.push_back(index);
      // Release: a thread that sees the number sees the entry.
      order->number_.store(order->ended_.size(), std::memory_order_release);
      order->more_.notify_all();
      told = std::move(order->at_next_);
    }
    if (told) told->ended();
  }
  // Relaxed: a callback that is seen to be stale later is dropped later.
  bool stale() const noexcept override { return order->left_.load(std::memory_order_relaxed); }
};

EndOrder::EndOrder(std::size_t completions) : forks_(fork_count()), open_(completions) {
  ended_.reserve(completions);
  end_callbacks_.reserve(completions);
  for (std::size_t i = 0; i < completions; ++i) end_callbacks_.push_back(std::make_unique<Ended>());
}

void EndOrder::add(std::shared_ptr<EndOrder> const& order,
                   std::shared_ptr<Completion> const& completion) noexcept {
  std::size_t const index = order->added_++;
  auto callback = std::move(order->end_callbacks_[index]);
  if (order->added_ == order->end_callbacks_.size()) order->end_callbacks_.clear();
  static_cast<Ended&>(*callback).order = order;
  static_cast<Ended&>(*callback).index = index;
  {
    Lock const lock(order->mutex_);
    order->open_[index] = completion;
  }
  completion->on_end(std::move(callback));
}

bool EndOrder::call_at(std::size_t before, std::unique_ptr<Completion::Callback>&& callback) {
  check_process();
  Lock const lock(mutex_);
  if (ended_.size() > before) return false;
  at_next_ = std::move(callback);
  return true;
}

void EndOrder::check_process() const {
  if (!forked_since(forks_)) return;
  throw SetupError("these futures belong to a pool of the process that this one was forked from; "
                   "their results arrive only there");
}

std::size_t EndOrder::wait(std::size_t before) {
  if (forked_since(forks_)) {
    // A thread that does not exist here may hold the lock. Entries from before the fork can be
    // read.
    if (has(before)) return entry(before);
    check_process();
  }
  if (!has(before)) go_on_with_postponed();
  check_not_for_this_thread(before);
  Lock lock(mutex_);
  while (ended_.size() <= before) more_.wait(lock);
  return ended_[before];
}

void EndOrder::check_not_for_this_thread(std::size_t before) {
  auto const thread = Callbacks::of_this_thread();
  if (thread.callbacks == nullptr) return;
  bool any = false;
  for (std::size_t i = 0; i < added_; ++i) {
    std::shared_ptr<Completion> open;  // dropped behind the lock: that may run code of the user
    {
      Lock const lock(mutex_);
      if (ended_.size() > before) return;
      open = open_[i].lock();
    }
    if (!open) continue;
    if (!needs_thread(*open, thread)) return;
    any = true;
  }
  if (any && !has(before)) throw_self_wait(thread.which);
}

}  // namespace procpool::inline v0_1::detail
