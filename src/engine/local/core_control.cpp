// The core's part that is in control of what runs: deadlines, cancelling, further attempts.

#include <algorithm>
#include <thread>
#include <utility>

#include <procpool/detail/deadline.hpp>
#include <procpool/detail/reason.hpp>
#include <procpool/errors.hpp>

#include "engine/local/core.hpp"
#include "engine/patience.hpp"

namespace procpool::inline v0::local {

// ---- ending what runs

void Core::end_running(detail::Task& task) {
  // Longer than a worker that is not stopped takes to withdraw a claim.
  constexpr std::chrono::milliseconds patience{50};
  auto const begin = std::chrono::steady_clock::now();
  auto const force = detail::later(begin, options.ask_grace);  // for what listens
  auto end = begin + patience;
  for (;;) {
    bool undecided = false;
    auto const now = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (!slots[i].holds(task)) continue;
      undecided = true;
      auto const running = slots[i].running();
      if (!running || running->task.get() != &task) {
        collect(i);
      } else if (now < force && slots[i].ask_to_stop(running->serial)) {
        task.mark_asked();
        end = detail::later(force, patience);
      } else {
        condemn(
            i, {running->serial, cancellation(task, "was cancelled while this element ran"), true});
      }
    }
    if (!undecided || now >= end) return;
    if (task.ended()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void Core::condemn(std::size_t index, Slot::Sentence sentence) {
  bool const cancelled = sentence.cancelled;
  Slot::Verdict verdict = slots[index].condemn(std::move(sentence));
  {
    std::lock_guard const lock(mutex);
    if (verdict.taken.asked) {
      scheduler.taken_back(index, verdict.taken.elements, verdict.taken.ended_chunks,
                           verdict.taken.number);
    }
    if (verdict.condemned) {
      scheduler.worker_leaves(index);
      ++(cancelled ? counted.workers_cancelled : counted.workers_timed_out);
    }
  }
  requeue(std::move(verdict.taken.chunks));
  if (verdict.condemned) wake_dispatcher();
  place();
}

// ---- attempts

bool Core::try_again(Chunk const& failed, bool allowed, std::string const& how) {
  auto const& retries = failed.task->retries();
  Chunk element = failed;
  element.again = true;
  if (!retries || !allowed || element.unwanted()) return false;
  {
    std::lock_guard const lock(mutex);
    if (phase >= Phase::cancelling || broken) return false;
  }
  auto const counted_as_failed = [&] { return element.task->attempt_failed(element.first, how); };
  if (!detail::patiently(counted_as_failed)) return false;
  std::uint64_t const attempts =
      detail::patiently([&] { return element.task->earlier_attempts(element.first).failed; });
  auto const backoff = retries->backoff_before(attempts);
  {
    std::lock_guard const lock(mutex);
    if (phase >= Phase::cancelling || broken) return false;
    auto const time = detail::later(std::chrono::steady_clock::now(), backoff);
    auto const place = detail::patiently([&] { return put_off.emplace(time, Chunk()); });
    place->second = std::move(element);
    ++counted.retries;
  }
  wake_dispatcher();
  return true;
}

std::exception_ptr Core::after_attempts(Chunk const& element, std::exception_ptr const& timeout) {
  auto const earlier = element.task->earlier_attempts(element.first);
  if (earlier.failed == 0) return timeout;
  try {
    std::rethrow_exception(timeout);
  } catch (TaskTimeout const& error) {
    return std::make_exception_ptr(
        TaskTimeout(error.what() + attempts_text(earlier.told, earlier.failed)));
  } catch (...) {
    return timeout;
  }
}

bool Core::thrown_is_tried_again(Slot::Item const& item) {
  if (!item.element || !item.task->retries() || item.task->retries()->exceptions.empty()) {
    return false;
  }
  std::exception_ptr const error =
      detail::patiently([&] { return detail::reason_of(item.block, item.task->id()); });
  // What it is as a listed type is told without an object of it: that would run the type's own code here.
  std::exception_ptr const kind = detail::patiently([&] {
    return detail::listed_kind(item.block.payload.bytes(), options.exceptions.functions());
  });
  bool const allowed = std::ranges::any_of(item.task->retries()->exceptions, [&](auto* const test) {
    return test(error) || (kind && test(kind));
  });
  return try_again(*item.element, allowed, detail::patiently([&] { return describe(error); }));
}

Chunks Core::remove_put_off(std::function<bool(Chunk const&)> const& which) {
  Chunks removed;
  std::erase_if(put_off, [&](auto& entry) {
    if (!which(entry.second)) return false;
    detail::patiently([&] { removed.push_back(std::move(entry.second)); });
    return true;
  });
  return removed;
}

// ---- the clock

std::optional<Core::TimePoint> Core::watch_deadlines(TimePoint now) {
  // How late a deadline may be noticed, and half of how exactly a begin is known.
  constexpr std::chrono::milliseconds interval{5};
  std::optional<TimePoint> next;
  Chunks expired;
  bool any_expired = false;
  bool running = false;
  Chunks due;
  {
    std::lock_guard const lock(mutex);
    while (!put_off.empty() && put_off.begin()->first <= now) {
      detail::patiently([&] { due.push_back(std::move(put_off.begin()->second)); });
      put_off.erase(put_off.begin());
    }
    if (!put_off.empty()) next = put_off.begin()->first;
    while (!queue_deadlines.empty() && queue_deadlines.begin()->first <= now) {
      if (auto const batch = queue_deadlines.begin()->second.lock()) {
        batch->expire();
        any_expired = true;
      }
      queue_deadlines.erase(queue_deadlines.begin());
    }
    if (any_expired) expired = scheduler.remove_expired();
    if (!queue_deadlines.empty()) {
      auto const first = queue_deadlines.begin()->first;
      next = next ? std::min(*next, first) : first;
    }
    running = timed != 0;
  }
  if (!due.empty()) {
    requeue(std::move(due));
    place();
  }
  if (any_expired) {
    fail_expired(expired);
    take_back_everything();
    place();
  }
  if (!running) return next;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    auto const seen = slots[i].running();
    if (!seen || !seen->task->timeout()) continue;
    auto const limit = *seen->task->timeout();
    auto const over = detail::later(seen->since, limit);
    if (now < over) continue;
    if (now < detail::later(over, options.ask_grace) && slots[i].ask_to_stop(seen->serial))
      continue;
    condemn(i, {seen->serial,
                std::make_exception_ptr(TaskTimeout(
                    element_text(seen->task->id(), seen->element, 1) + " of pool \"" + name +
                    "\" ran longer than its timeout of " + std::to_string(limit.count()) + " ms")),
                false});
  }
  auto const again = now + interval;
  return next ? std::min(*next, again) : again;
}

void Core::fail_expired(Chunks const& chunks) {
  for (Chunk const& chunk : chunks) {
    auto const reason = detail::patiently([&] {
      return std::make_exception_ptr(
          TaskTimeout(element_text(chunk.task->id(), chunk.first, chunk.count) + " of pool \"" +
                      name + "\" had not begun after its queue_timeout of " +
                      std::to_string(chunk.task->queue_timeout()->count()) + " ms"));
    });
    end_element(chunk, reason, false);
  }
}

// ---- message memory

std::optional<Core::TimePoint> Core::trim_memory(TimePoint now) {
  if (next_trim_ ? now < *next_trim_ : !arena->trim_is_expected()) return next_trim_;
  // The arena first: of what it lets go the workers are told.
  next_trim_ = arena->trim(now);
  auto const look_again = [this](std::optional<TimePoint> look) {
    if (look) next_trim_ = next_trim_ ? std::min(*next_trim_, *look) : *look;
  };
  look_again(task_memory->trim(now));
  for (std::size_t i = 0; i < slots.size(); ++i) {
    look_again(slots[i].trim_memory(now));
  }
  if (next_trim_) arena->trim_goes_on();
  return next_trim_;
}

}  // namespace procpool::inline v0::local
