// The core's part that moves elements: from the queue to a worker, from there to its task, and back to the
// queue.

#include <algorithm>
#include <exception>
#include <iterator>
#include <ranges>
#include <span>
#include <string>
#include <utility>

#include <boost/container/static_vector.hpp>

#include <procpool/errors.hpp>

#include "engine/local/core.hpp"
#include "engine/patience.hpp"

namespace procpool::inline v0::local {

bool Core::place() {
  std::unique_lock lock(mutex);
  return place(lock);
}

bool Core::place(std::unique_lock<std::mutex>& lock) {
  for (;; lock.lock()) {
    scheduler.expect_more(live < wanted || starting != 0);
    std::optional<Scheduler::Assignment> assignment = scheduler.next();
    if (!assignment) {
      bool const short_of_workers = scheduler.waiting() != 0 && live < wanted;
      lock.unlock();
      return short_of_workers;
    }
    std::size_t const worker = assignment->worker;
    bool const keyed = assignment->chunk.task->key().has_value();
    boost::container::static_vector<Chunk, Scheduler::most_along> chunks;
    chunks.push_back(std::move(assignment->chunk));
    while (!keyed && chunks.size() != chunks.capacity()) {
      std::optional<Chunk> another = scheduler.next_along(worker);
      if (!another) break;
      chunks.push_back(std::move(*another));
    }
    counted.records += chunks.size();
    tell_room();
    bool const dozed = std::exchange(dozing, false);
    std::chrono::microseconds const spin = spin_time();
    bool const last = scheduler.waiting() == 0 && !keyed;
    lock.unlock();
    if (dozed) wake_dispatcher_soon();
    for (Chunk const& chunk : chunks) chunk.task->placed(worker);
    Slot::Given const given = slots[worker].put(chunks, spin);
    if (given.unwanted) {
      take_back(worker);
      for (Chunk const& chunk : std::span(chunks).first(given.sent)) {
        if (chunk.task && chunk.task->marked_for_end()) end_running(*chunk.task);
      }
    }
    if (given.sent != chunks.size()) {
      Chunks rest;
      detail::move_behind(rest, std::span(chunks).subspan(given.sent));
      not_given(worker, std::move(rest), given);
    } else if (keyed) {
      std::lock_guard const placed(mutex);
      scheduler.placed(worker);
    } else if (last && !given.unwanted) {
      return false;
    }
  }
}

void Core::not_given(std::size_t worker, Chunks chunks, Slot::Given const& given) {
  {
    std::lock_guard const lock(mutex);
    counted.records -= chunks.size();
    for (Chunk const& chunk : chunks) scheduler.refused(worker, chunk);
    if (given.failure) scheduler.roomy(worker);
  }
  if (given.failure) {
    Chunk const unsendable = std::move(chunks.front());
    chunks.pop_front();
    auto const reason = detail::patiently([&] {
      std::string const what =
          element_text(unsendable.task->id(), unsendable.first, unsendable.count);
      try {
        std::rethrow_exception(given.failure);
      } catch (std::exception const& error) {
        return std::make_exception_ptr(
            SetupError(what + " could not be sent to a worker: " + error.what()));
      }
    });
    end_element(unsendable, reason, false);
  } else if (given.how == Slot::Put::full && slots[worker].await_room()) {
    std::lock_guard const lock(mutex);
    scheduler.roomy(worker);
  }
  // Not simply back to the queue: the pool's end may have emptied that meanwhile, for good.
  requeue(std::move(chunks));
  if (given.how == Slot::Put::gone) wake_dispatcher();
}

bool Core::deliver(std::span<Slot::Item> items, std::size_t slot) {
  if (items.empty()) return false;
  std::uint64_t elements = 0;
  bool more = false;
  for (Slot::Item& item : items) {
    // Before another attempt can add to it.
    for (auto& [element, text] : item.output) {
      detail::if_possible([&] { item.task->add_output(element, std::move(text)); });
    }
    item.again = thrown_is_tried_again(item);
  }
  {
    std::lock_guard const lock(mutex);
    TimePoint const now = std::chrono::steady_clock::now();
    for (Slot::Item const& item : items) {
      if (item.task->internal()) continue;
      // What it needs memory for comes first in it.
      detail::patiently([&] {
        scheduler.finished(slot, item.task->function().code, item.block.count, item.ended_chunks,
                           item.nanoseconds, now);
      });
      if (item.again) continue;
      elements += item.block.count;
      count_resolved(*item.task, item.block.count);
      per_worker[slot].done += item.block.count;
      // The worker says so: lies must not overflow it.
      constexpr std::chrono::nanoseconds most{std::int64_t{1} << 62};
      auto& busy = per_worker[slot].busy;
      busy = std::min(most, busy + std::chrono::nanoseconds(item.nanoseconds));
    }
    summary.done += elements;
    more = scheduler.waiting() != 0;
    note_busy();
  }
  for (Slot::Item& item : items) {
    if (item.again) continue;
    if (item.element && item.task->retries()) {
      detail::if_possible(
          [&] { item.block.earlier = item.task->earlier_attempts(item.block.first); });
    }
    stop_after_failure(*item.task, item.block);
    item.task->deliver(std::move(item.block));
  }
  count_delivered(elements);
  return more;
}

bool Core::deliver(Slot::Harvest& harvest, std::size_t slot) {
  bool more = deliver(std::span<Slot::Item>(harvest.items), slot);
  for (Slot::Item& item : harvest.apart) more = deliver(std::span(&item, 1), slot);
  return more;
}

void Core::count_delivered(std::uint64_t elements) {
  std::lock_guard const lock(mutex);
  delivered += elements;
  tell_room();
  if (phase != Phase::open && delivered == accepted) wake_dispatcher();
}

std::optional<std::size_t> Core::collect(std::size_t index) {
  Slot::Harvest harvest = slots[index].collect();
  std::size_t const taken = harvest.outcomes();
  bool const more = deliver(harvest, index);
  if (harvest.settled) {
    std::uint64_t elements = 0;
    for (Chunk const& chunk : harvest.returned) elements += chunk.count;
    std::lock_guard const lock(mutex);
    scheduler.taken_back(index, elements, harvest.returned.size(), harvest.take_backs);
    scheduler.settled(index, harvest.take_backs);
  }
  if (harvest.roomy) {
    std::lock_guard const lock(mutex);
    scheduler.roomy(index);
  }
  requeue(std::move(harvest.returned));
  if (more || harvest.settled || harvest.roomy) place();
  return harvest.bad.empty() ? std::optional(taken) : std::nullopt;
}

bool Core::balance() {
  for (;;) {
    bool look_again = false;
    std::optional<Scheduler::TakeBack> take;
    {
      std::unique_lock lock(mutex);
      // Patience is over.
      if (scheduler.waiting() != 0) {
        place(lock);
        lock.lock();
      }
      take = scheduler.imbalance(std::chrono::steady_clock::now(), look_again);
    }
    if (!take) return look_again;
    Slot::TakenBack taken = slots[take->worker].take_back(take->elements);
    if (!taken.asked) return true;
    {
      std::lock_guard const lock(mutex);
      scheduler.taken_back(take->worker, taken.elements, taken.ended_chunks, taken.number);
    }
    requeue(std::move(taken.chunks));
    place();
  }
}

void Core::take_back(std::size_t index) {
  Slot::TakenBack taken = slots[index].take_back(~std::uint64_t{0});
  if (!taken.asked) return;
  {
    std::lock_guard const lock(mutex);
    scheduler.taken_back(index, taken.elements, taken.ended_chunks, taken.number);
  }
  requeue(std::move(taken.chunks));
}

void Core::take_back_everything() {
  for (std::size_t i = 0; i < slots.size(); ++i) take_back(i);
}

void Core::requeue(Chunks chunks) {
  if (chunks.empty()) return;  // as after most looks
  Chunks cancelled;
  Chunks expired;
  Chunks hopeless;
  std::exception_ptr reason;
  {
    std::lock_guard const lock(mutex);
    reason = broken;
    for (Chunk& chunk : std::views::reverse(chunks)) {
      if (chunk.task->internal()) continue;  // for the worker that is gone
      std::uint64_t const wanted_to = phase >= Phase::cancelling ? 0 : chunk.task->cancelled_from();
      if (Chunk unwanted = chunk.take_from(wanted_to); unwanted.count != 0) {
        detail::patiently([&] { cancelled.push_back(std::move(unwanted)); });
      }
      if (chunk.count == 0) continue;
      if (chunk.expired()) {
        detail::patiently([&] { expired.push_back(std::move(chunk)); });
      } else if (reason) {
        detail::patiently([&] { hopeless.push_back(std::move(chunk)); });
      } else {
        scheduler.give_back(std::move(chunk));
      }
    }
  }
  fail_cancelled(cancelled);
  fail_expired(expired);
  fail(hopeless, reason);
}

}  // namespace procpool::inline v0::local
