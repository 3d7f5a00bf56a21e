#include <procpool/detail/completion.hpp>

#include <algorithm>
#include <limits>
#include <utility>

#include <procpool/detail/composed.hpp>
#include <procpool/detail/nest.hpp>
#include <procpool/detail/task.hpp>
#include <procpool/errors.hpp>

#include "engine/forks.hpp"
#include "os/futex.hpp"

namespace procpool::inline v0::detail {
namespace {

constexpr std::uint32_t open = 0;
constexpr std::uint32_t open_with_sleepers = 1;
constexpr std::uint32_t complete = 2;

constexpr std::int32_t many_hooks = 64;

// Stands in hooks_ once it has ended.
struct : Completion::Hook {
  void ended() noexcept override {}
} closed;

// Whom this thread still has to tell. What they end in turn queues up here, so that a chain of any length
// needs no more stack than one link.
struct Telling {
  Completion::Hook* first = nullptr;
  Completion::Hook* last = nullptr;
  bool busy = false;
};
constinit thread_local Telling telling;

}  // namespace

Completion::Hook::~Hook() = default;
bool Completion::Hook::stale() const noexcept { return false; }

Completion::Completion(std::shared_ptr<CallSite const> site, Kind kind)
    : site_(std::move(site)),
      forks_(fork_count()),
      until_look_(many_hooks),
      adopted_(site_ != nullptr),
      kind_(kind) {}

Completion::~Completion() {
  // One that never ends, as in a forked child or after a verb that failed half-way, tells nobody.
  Hook* hook = hooks_.load(std::memory_order_relaxed);
  while (hook != nullptr && hook != &closed) delete std::exchange(hook, hook->next_);
}

bool Completion::ended() const noexcept {
  // Acquire: what ended it was written before the word said so.
  return ended_.load(std::memory_order_acquire) == complete;
}

void Completion::check_process() const {
  if (forked_since(forks_)) {
    throw SetupError(
        "this future belongs to a pool of the process that this one was forked from; its result "
        "arrives only there");
  }
}

bool Completion::wait_until(std::optional<TimePoint> deadline) const {
  if (!ended()) go_on_with_postponed();
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

void Completion::on_end(std::unique_ptr<Hook> hook) noexcept {
  // Relaxed: a count of no consequence but when to look.
  if (until_look_.fetch_sub(1, std::memory_order_relaxed) <= 0) drop_stale_hooks();
  Hook* before = hooks_.load(std::memory_order_acquire);
  do {
    // Also in the moment between the word and the stack: what is ready() is ready for hooks too.
    if (before == &closed || ended()) {
      hook->ended();
      return;
    }
    hook->next_ = before;
    // Release: who takes the stack sees the hook. Acquire on failure: `closed` means that it has ended,
    // and what ended it must be visible here.
  } while (!hooks_.compare_exchange_weak(before, hook.get(), std::memory_order_release,
                                         std::memory_order_acquire));
  static_cast<void>(hook.release());
}

// What lives long and is waited for again and again, along with others, would gather what these left.
void Completion::drop_stale_hooks() noexcept {
  Hook* stack = hooks_.load(std::memory_order_acquire);
  do {
    if (stack == nullptr || stack == &closed) return;
    // Acquire: who takes the stack sees the hooks.
  } while (!hooks_.compare_exchange_weak(stack, nullptr, std::memory_order_acquire));
  Hook* first = nullptr;
  Hook** end = &first;
  std::int32_t kept = 0;
  while (stack != nullptr) {
    std::unique_ptr<Hook> hook(std::exchange(stack, stack->next_));
    if (hook->stale()) continue;
    hook->next_ = nullptr;
    Hook* const place = hook.release();
    *end = place;
    end = &place->next_;
    ++kept;
  }
  until_look_.store(std::max(many_hooks, kept), std::memory_order_relaxed);
  if (first == nullptr) return;
  Hook* before = hooks_.load(std::memory_order_acquire);
  do {
    if (before == &closed) {  // it has ended meanwhile, and its end did not see these
      while (first != nullptr) {
        std::unique_ptr<Hook> const hook(std::exchange(first, first->next_));
        hook->ended();
      }
      return;
    }
    *end = before;
    // Release and acquire: as in on_end().
  } while (!hooks_.compare_exchange_weak(before, first, std::memory_order_release,
                                         std::memory_order_acquire));
}

void Completion::end() noexcept {
  // seq_cst: publishes what ended it (release), and stands before the look at `left_`, against the look
  // at the word behind left_'s store in leave(): one of the two sees the other.
  if (ended_.exchange(complete, std::memory_order_seq_cst) == open_with_sleepers) {
    os::futex_wake(ended_, std::numeric_limits<int>::max(), os::FutexScope::process_private);
  }
  if (left_.load(std::memory_order_seq_cst)) report_left();
  // Acquire and release: see on_end().
  Hook* stack = hooks_.exchange(&closed, std::memory_order_acq_rel);
  if (stack == nullptr) return;
  Hook* const end = stack;  // what was registered last
  Hook* in_order = nullptr;
  while (stack != nullptr) {
    Hook* const next = std::exchange(stack->next_, in_order);
    in_order = std::exchange(stack, next);
  }
  (telling.first == nullptr ? telling.first : telling.last->next_) = in_order;
  telling.last = end;
  if (std::exchange(telling.busy, true)) return;
  while (telling.first != nullptr) {
    std::unique_ptr<Hook> const hook(std::exchange(telling.first, telling.first->next_));
    hook->ended();
  }
  telling.busy = false;
}

void Completion::adopt_site(std::shared_ptr<CallSite const> const& site) noexcept {
  if (adopted_.load(std::memory_order_relaxed) || !site) return;  // relaxed: written here alone
  site_ = site;
  adopted_.store(true, std::memory_order_release);
}

std::shared_ptr<CallSite const> const& Completion::no_site() noexcept {
  static constinit std::shared_ptr<CallSite const> const none;
  return none;
}

void Completion::leave() noexcept {
  if (forked_since(forks_)) return;              // the error is told where the pool is
  left_.store(true, std::memory_order_seq_cst);  // against end()
  if (ended_.load(std::memory_order_seq_cst) == complete) report_left();
}

void Completion::report_left() noexcept {
  if (!left_.exchange(false, std::memory_order_relaxed))
    return;  // relaxed: only one of two is told
  if (is_task()) {
    static_cast<Task*>(this)->report_lost();
  } else {
    static_cast<Composed*>(this)->report_lost();
  }
}

}  // namespace procpool::inline v0::detail
