// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/async/completion.hpp>

#include <algorithm>
#include <limits>
#include <utility>

#include <procpool/detail/async/callbacks.hpp>
#include <procpool/detail/async/composed.hpp>
#include <procpool/detail/async/nest.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/errors.hpp>

#include "engine/fork_detection.hpp"
#include "os/futex.hpp"

namespace procpool::inline v0_1::detail {
namespace {

constexpr std::uint32_t open = 0;
constexpr std::uint32_t open_with_sleepers = 1;
constexpr std::uint32_t complete = 2;

constexpr std::int32_t many_callbacks = 64;

// The top of the stack of callbacks once the completion has ended.
struct : Completion::Callback {
  void ended() noexcept override {}
} closed;

// The callbacks that this thread still has to call. The callbacks of completions that they end join
// the queue, so that a chain of any length needs no more stack than one link.
struct Telling {
  Completion::Callback* first = nullptr;
  Completion::Callback* last = nullptr;
  bool busy = false;
};
constinit thread_local Telling telling;

}  // namespace

Completion::Callback::~Callback() = default;
bool Completion::Callback::stale() const noexcept { return false; }

Completion::Completion(std::shared_ptr<CallContext const> context, Kind kind)
    : context_(std::move(context)),
      forks_(fork_count()),
      until_look_(many_callbacks),
      adopted_(context_ != nullptr),
      kind_(kind) {}

Completion::~Completion() {
  // A completion that never ends calls no callback. So it is in a forked child, and after a call
  // that failed half-way.
  Callback* callback = end_callbacks_.load(std::memory_order_relaxed);
  while (callback != nullptr && callback != &closed)
    delete std::exchange(callback, callback->next_);
}

bool Completion::ended() const noexcept {
  // Acquire: the outcome was written before the word.
  return ended_.load(std::memory_order_acquire) == complete;
}

bool Completion::is_foreign() const noexcept { return forked_since(forks_); }

void Completion::check_process() const {
  if (is_foreign()) {
    throw SetupError(
        "this future belongs to a pool of the process that this one was forked from; its result "
        "arrives only there");
  }
}

bool Completion::wait_until(std::optional<TimePoint> deadline) const {
  if (!ended()) {
    go_on_with_postponed();
    check_not_for_this_thread(deadline);
  }
  while (!ended()) {
    check_process();
    if (deadline && std::chrono::steady_clock::now() >= *deadline) return false;
    std::uint32_t expected = open;
    // Acquire on failure: it may be complete by now.
    if (!ended_.compare_exchange_strong(expected, open_with_sleepers, std::memory_order_acquire,
                                        std::memory_order_acquire) &&
        expected == complete) {
      return true;
    }
    os::futex_wait(ended_, open_with_sleepers, os::FutexScope::process_private, deadline);
  }
  return true;
}

void Completion::check_not_for_this_thread(std::optional<TimePoint> deadline) const {
  auto const thread = Callbacks::of_this_thread();
  if (thread.callbacks == nullptr || deadline || !needs_thread(*this, thread)) return;
  throw_self_wait(thread.which);
}

void Completion::on_end(std::unique_ptr<Callback> callback) noexcept {
  // Relaxed: the count only decides when to look.
  if (until_look_.fetch_sub(1, std::memory_order_relaxed) <= 0) drop_stale_callbacks();
  Callback* before = end_callbacks_.load(std::memory_order_acquire);
  do {
    // Also in the moment between the word and the stack: a completion that is ready() calls its
    // callbacks at once.
    if (before == &closed || ended()) {
      callback->ended();
      return;
    }
    callback->next_ = before;
    // Release: the thread that takes the stack sees the callback. Acquire on failure: `closed`
    // means that the completion has ended, and its outcome must be visible here.
  } while (!end_callbacks_.compare_exchange_weak(before, callback.get(), std::memory_order_release,
                                                 std::memory_order_acquire));
  static_cast<void>(callback.release());
}

// A long-lived completion that is waited for together with others, again and again, would collect
// stale callbacks.
void Completion::drop_stale_callbacks() noexcept {
  Callback* stack = end_callbacks_.load(std::memory_order_acquire);
  do {
    if (stack == nullptr || stack == &closed) return;
    // Acquire: the thread that takes the stack sees the callbacks.
  } while (!end_callbacks_.compare_exchange_weak(stack, nullptr, std::memory_order_acquire));
  Callback* first = nullptr;
  Callback** end = &first;
  std::int32_t kept = 0;
  while (stack != nullptr) {
    std::unique_ptr<Callback> callback(std::exchange(stack, stack->next_));
    if (callback->stale()) continue;
    callback->next_ = nullptr;
    Callback* const place = callback.release();
    *end = place;
    end = &place->next_;
    ++kept;
  }
  until_look_.store(std::max(many_callbacks, kept), std::memory_order_relaxed);
  if (first == nullptr) return;
  Callback* before = end_callbacks_.load(std::memory_order_acquire);
  do {
    if (before == &closed) {  // it has ended meanwhile, without these callbacks
      while (first != nullptr) {
        std::unique_ptr<Callback> const callback(std::exchange(first, first->next_));
        callback->ended();
      }
      return;
    }
    *end = before;
    // Release and acquire: as in on_end().
  } while (!end_callbacks_.compare_exchange_weak(before, first, std::memory_order_release,
                                                 std::memory_order_acquire));
}

void Completion::end() noexcept {
  // seq_cst: publishes the outcome (release), and is ordered before the load of `left_`. leave()
  // stores `left_` and then loads the word, so one of the two sees the other.
  if (ended_.exchange(complete, std::memory_order_seq_cst) == open_with_sleepers) {
    os::futex_wake(ended_, std::numeric_limits<int>::max(), os::FutexScope::process_private);
  }
  if (left_.load(std::memory_order_seq_cst)) report_left();
  // Acquire and release: see on_end().
  Callback* stack = end_callbacks_.exchange(&closed, std::memory_order_acq_rel);
  if (stack == nullptr) return;
  Callback* const end = stack;  // the callback that was registered last
  Callback* in_order = nullptr;
  while (stack != nullptr) {
    Callback* const next = std::exchange(stack->next_, in_order);
    in_order = std::exchange(stack, next);
  }
  (telling.first == nullptr ? telling.first : telling.last->next_) = in_order;
  telling.last = end;
  if (std::exchange(telling.busy, true)) return;
  while (telling.first != nullptr) {
    std::unique_ptr<Callback> const callback(std::exchange(telling.first, telling.first->next_));
    callback->ended();
  }
  telling.busy = false;
}

void Completion::adopt_context(std::shared_ptr<CallContext const> const& context) noexcept {
  if (adopted_.load(std::memory_order_relaxed) || !context) return;  // relaxed: written here alone
  context_ = context;
  adopted_.store(true, std::memory_order_release);
}

std::shared_ptr<CallContext const> const& Completion::no_context() noexcept {
  static constinit std::shared_ptr<CallContext const> const none;
  return none;
}

void Completion::leave() noexcept {
  if (is_foreign()) return;                      // the process of the pool reports the error
  left_.store(true, std::memory_order_seq_cst);  // against end()
  if (ended_.load(std::memory_order_seq_cst) == complete) report_left();
}

void Completion::report_left() noexcept {
  // Relaxed: the word only makes sure that one of two threads reports.
  if (!left_.exchange(false, std::memory_order_relaxed)) return;
  if (is_task()) {
    static_cast<Task*>(this)->report_lost();
  } else {
    static_cast<Composed*>(this)->report_lost();
  }
}

}  // namespace procpool::inline v0_1::detail
