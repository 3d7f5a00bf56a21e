#include <procpool/detail/completion.hpp>

#include <limits>
#include <utility>

#include <procpool/errors.hpp>

#include "engine/forks.hpp"
#include "os/futex.hpp"

namespace procpool::inline v0::detail {
namespace {

constexpr std::uint32_t open = 0;
constexpr std::uint32_t open_with_sleepers = 1;
constexpr std::uint32_t complete = 2;

// Stands in hooks_ once it has ended.
struct : Completion::Hook {
  void ended() noexcept override {}
} closed;

}  // namespace

Completion::Hook::~Hook() = default;

Completion::Completion(std::shared_ptr<CallSite const> site)
    : site_(std::move(site)), forks_(fork_count()) {}

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

void Completion::end() noexcept {
  // Release: whoever sees `complete` sees what ended it.
  if (ended_.exchange(complete, std::memory_order_release) == open_with_sleepers) {
    os::futex_wake(ended_, std::numeric_limits<int>::max(), os::FutexScope::process_private);
  }
  // Acquire and release: see on_end().
  Hook* stack = hooks_.exchange(&closed, std::memory_order_acq_rel);
  Hook* in_order = nullptr;
  while (stack != nullptr) {
    Hook* const next = std::exchange(stack->next_, in_order);
    in_order = std::exchange(stack, next);
  }
  while (in_order != nullptr) {
    std::unique_ptr<Hook> const hook(std::exchange(in_order, in_order->next_));
    hook->ended();
  }
}

}  // namespace procpool::inline v0::detail
