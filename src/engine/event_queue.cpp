// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "engine/event_queue.hpp"

#include <exception>
#include <string>
#include <utility>

#include <procpool/errors.hpp>

namespace procpool::inline v0_1 {

char const* to_string(EventKind kind) noexcept {
  switch (kind) {
    case EventKind::worker_started: return "worker_started";
    case EventKind::worker_died: return "worker_died";
    case EventKind::worker_replaced: return "worker_replaced";
    case EventKind::worker_left: return "worker_left";
    case EventKind::start_failed: return "start_failed";
    case EventKind::task_timed_out: return "task_timed_out";
    case EventKind::task_retried: return "task_retried";
    case EventKind::task_logged: return "task_logged";
  }
  return "unknown";
}

// Made when there is something to tell, so that the callback thread can end with the pool.
class EventQueue::Delivery final : public detail::Work,
                                   public std::enable_shared_from_this<Delivery> {
 public:
  explicit Delivery(std::shared_ptr<EventQueue> queue)
      : Work(queue->callbacks_), queue_(std::move(queue)) {}

  // Other work has its turn between two rounds.
  void run() noexcept override {
    if (queue_->deliver()) callbacks().post(shared_from_this());
  }
  std::string what() const override { return "PoolOptions::on_event"; }

 private:
  std::shared_ptr<EventQueue> const queue_;
};

EventQueue::EventQueue(EventCallback callback, std::shared_ptr<detail::Callbacks> callbacks)
    : callback_(std::move(callback)), callbacks_(std::move(callbacks)) {}

void EventQueue::push(Event const& event) noexcept {
  if (callbacks_->forked()) return;  // there is no thread here
  if (!callback_ && event.kind != EventKind::task_logged) return;
  {
    detail::Lock const lock(mutex_);
    std::uint64_t const lost_with_it = 1 + event.missed;
    try {
      if (waiting_.size() == max_waiting) {
        missed_ += lost_with_it;
        return;
      }
      waiting_.push_back(event);
      waiting_.back().missed += std::exchange(missed_, 0);
    } catch (...) {  // no memory
      missed_ += lost_with_it;
      return;
    }
    if (std::exchange(scheduled_, true)) return;
  }
  try {
    callbacks_->post(std::make_shared<Delivery>(shared_from_this()));
  } catch (...) {  // no memory, or no thread: the next event tries again
    detail::Lock const lock(mutex_);
    scheduled_ = false;
  }
}

bool EventQueue::deliver() noexcept {
  std::deque<Event> events;
  {
    detail::Lock const lock(mutex_);
    events.swap(waiting_);
  }
  for (Event const& event : events) {
    try {
      if (event.kind == EventKind::task_logged) callbacks_->log(line_of(event));
      if (callback_) callback_(event);
    } catch (...) {
      if (std::exchange(failed_, true)) continue;
      try {
        callbacks_->log("pool \"" + callbacks_->pool() +
                        "\": on_event threw: " + describe(std::current_exception()));
      } catch (...) {  // no memory for the text
      }
    }
  }
  std::uint64_t missed = 0;
  {
    detail::Lock const lock(mutex_);
    if (!waiting_.empty()) return true;
    scheduled_ = false;
    missed = missed_;
  }
  if (missed == 0) return false;
  try {
    callbacks_->log("pool \"" + callbacks_->pool() +
                    "\": events came faster than they could be told, and " +
                    std::to_string(missed) + " of them were not told");
  } catch (...) {  // no memory for the text
  }
  return false;
}

std::string line_of(Event const& event) {
  std::string line = "pool \"" + event.pool + "\", ";
  if (event.worker >= 0) line += "worker " + std::to_string(event.worker) + " ";
  line += "(pid " + std::to_string(event.pid) + ")";
  if (event.task) {
    line += ", task " + std::to_string(*event.task);
    if (!event.label.empty()) line += " \"" + event.label + '"';
    line += ", element " + std::to_string(event.element.value_or(0));
  }
  line += ": " + std::string(to_string(event.level.value_or(LogLevel::info))) + ": " + event.text;
  if (event.missed != 0) line += " (" + std::to_string(event.missed) + " before it are lost)";
  return line;
}

EventCallback queued(EventCallback callback, std::shared_ptr<detail::Callbacks> callbacks) {
  auto queue = std::make_shared<EventQueue>(std::move(callback), std::move(callbacks));
  return [queue = std::move(queue)](Event const& event) { queue->push(event); };
}

}  // namespace procpool::inline v0_1
