// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// EventQueue: carries the events of a pool to PoolOptions::on_event, on the callback thread.
//
// Any thread may push, also with a lock held: no code of the user runs, and nothing blocks. If the
// callback is slower than the events, the queue drops the newest ones and counts them.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include <procpool/detail/async/callbacks.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/event.hpp>

namespace procpool::inline v0_1 {

class EventQueue : public std::enable_shared_from_this<EventQueue> {
 public:
  static constexpr std::size_t max_waiting = 1024;

  EventQueue(EventCallback callback, std::shared_ptr<detail::Callbacks> callbacks);
  EventQueue(EventQueue const&) = delete;
  EventQueue& operator=(EventQueue const&) = delete;

  void push(Event const& event) noexcept;

 private:
  class Delivery;

  // Tells what waits now. True: more has come meanwhile.
  bool deliver() noexcept;

  EventCallback const callback_;
  std::shared_ptr<detail::Callbacks> const callbacks_;
  detail::Mutex mutex_;
  std::deque<Event> waiting_ PROCPOOL_GUARDED_BY(mutex_);
  std::uint64_t missed_ PROCPOOL_GUARDED_BY(mutex_) = 0;  // since the newest one that waits
  bool scheduled_ PROCPOOL_GUARDED_BY(mutex_) = false;    // a Delivery is posted, or runs
  bool failed_ = false;  // the callback threw, which was logged; used by deliver() alone
};

// What a task has logged, as a line of the log.
std::string line_of(Event const& event);

// The callback as engines call it, on any of their threads. What tasks log goes to the log too, and to the
// log alone if the callback is null.
EventCallback queued(EventCallback callback, std::shared_ptr<detail::Callbacks> callbacks);

}  // namespace procpool::inline v0_1
