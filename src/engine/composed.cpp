// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/async/composed.hpp>

#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/cancel.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/errors.hpp>
#include <procpool/failure.hpp>

namespace procpool::inline v0_1::detail {

Composed::Composed(std::shared_ptr<CallContext const> context,
                   std::shared_ptr<CallContext const> likely_context)
    : Completion(std::move(context), Kind::composed), likely_context_(std::move(likely_context)) {}

Composed::~Composed() = default;

bool is_decided(Completion const& what) noexcept {
  return what.ended() || (!what.is_task() && static_cast<Composed const&>(what).decided());
}

bool Composed::awaited(List& all) {
  std::shared_ptr<Completion> what;  // if this is the last owner, the end comes behind the lock
  Lock const lock(mutex_);
  if (decided()) return true;
  what = awaited_.lock();
  if (!what || is_decided(*what)) {
    requested_ = true;
    return false;
  }
  all.push_back(std::move(what));
  return true;
}

bool Composed::decide() noexcept {
  // Release: a thread that sees the flag also sees the completion that was waited for.
  decided_.store(true, std::memory_order_release);
  return std::exchange(requested_, false);
}

std::exception_ptr cancelled_meanwhile() noexcept {
  try {
    return std::make_exception_ptr(TaskCancelled(
        "cancelled while code of the program's ran, which nothing was waited for after; "
        "its value was dropped"));
  } catch (...) {
    return std::current_exception();
  }
}

void Composed::request() noexcept {
  Lock const lock(mutex_);
  requested_ = true;
}

bool Composed::requested() const noexcept {
  Lock const lock(mutex_);
  return requested_;
}

bool Composed::waits_no_more() noexcept {
  Lock const lock(mutex_);
  awaited_.reset();
  return requested_;
}

// A cancellation is not reported: the program has asked for it.
void Composed::report_lost() noexcept {
  std::exception_ptr const lost = error();
  if (!lost || Failure(lost).as<TaskCancelled>() != nullptr) return;
  try {
    detail::report_lost(*this, [lost] { return describe(lost); });
  } catch (...) {  // no memory for the report
  }
}

namespace {

// The thread that runs the code of a context, or hands it to the executor.
Work::Thread thread_of(CallContext const& context) noexcept {
  return context.executor ? Work::Thread::executors : Work::Thread::callbacks;
}

}  // namespace

bool needs_thread(Completion const& what, Callbacks::OfThread const& thread, int levels) noexcept {
  return levels != 0 && !what.ended() && !what.is_task() &&
         static_cast<Composed const&>(what).needs_thread(thread, levels);
}

bool may_have_failed(Completion const& what, int levels) noexcept {
  if (levels == 0) return true;
  if (!what.is_task()) return static_cast<Composed const&>(what).may_have_failed(levels);
  Task::Counts const counts = static_cast<Task const&>(what).counts();
  return counts.failed != 0 || counts.cancelled != 0;
}

void throw_self_wait(Work::Thread thread) {
  throw std::system_error(
      std::make_error_code(std::errc::resource_deadlock_would_occur),
      thread == Work::Thread::callbacks
          ? "procpool: a callback waits for a future that needs the callback thread, which is this "
            "one; return the future, co_await it, or give its continuation an executor"
          : "procpool: an executor runs its work in its own call, and this work waits for a future "
            "that needs the executor; let the executor run work on another thread, return the "
            "future, or co_await it");
}

bool Composed::needs_thread(Callbacks::OfThread const& thread, int levels) const noexcept {
  std::shared_ptr<Completion> what;
  Then then{};
  {
    Lock const lock(mutex_);
    if (decided()) return false;
    what = awaited_.lock();
    then = then_;
  }
  if (!what) return false;  // its code runs, or is to be called by the program
  if (then == Then::its_end_or_time) return false;
  if (then != Then::its_end) {
    bool const own = then == Then::continuation || !what->context();
    auto const& known = own ? context() : what->context();
    if (known && known->callbacks.get() == thread.callbacks && thread_of(*known) == thread.which) {
      return true;
    }
  }
  return detail::needs_thread(*what, thread, levels - 1);
}

void Composed::waits_for(std::shared_ptr<Completion> const& what, Then then) noexcept {
  {
    Lock const lock(mutex_);
    awaited_ = what;
    then_ = then;
    if (!requested_) return;
  }
  try {
    // If the completion has ended by itself, the request still stands.
    if (cancel(what) == Cancel::too_late) return;
  } catch (...) {  // a forked child cannot cancel it
    return;
  }
  Lock const lock(mutex_);
  requested_ = false;
}

// ---- dropping

void let_go(std::shared_ptr<void> what) noexcept {
  static constinit thread_local std::vector<std::shared_ptr<void>>* others = nullptr;
  if (!what) return;
  if (others != nullptr) {
    try {
      others->push_back(std::move(what));
      return;
    } catch (...) {  // no memory for the list: destroyed here
    }
    what.reset();
    return;
  }
  std::vector<std::shared_ptr<void>> queue;
  others = &queue;
  what.reset();
  while (!queue.empty()) {
    std::shared_ptr<void> next = std::move(queue.back());
    queue.pop_back();
    next.reset();
  }
  others = nullptr;
}

// ---- unseen errors

namespace {

class LostError final : public Work {
 public:
  LostError(std::shared_ptr<Callbacks> callbacks, std::function<std::string()> text,
            std::uint64_t untold)
      : Work(std::move(callbacks)), text_(std::move(text)), untold_(untold) {}
  void run() noexcept override {
    try {
      std::string line = "a future was dropped and nobody has looked at its error: " + text_();
      if (untold_ != 0) line += " (and " + std::to_string(untold_) + " others before it)";
      callbacks().log(line);
    } catch (...) {  // no memory for the text
    }
  }
  std::string what() const override { return "the log"; }

 private:
  std::function<std::string()> const text_;
  std::uint64_t const untold_;
};

}  // namespace

void report_lost(Completion const& whose, std::function<std::string()> text) noexcept {
  try {
    auto const callbacks = context_of(whose)->callbacks;
    if (callbacks->forked()) return;
    auto const untold = callbacks->may_tell_lost();
    if (!untold) return;
    auto work = std::make_shared<LostError>(callbacks, std::move(text), *untold);
    callbacks->post(std::move(work));
  } catch (...) {  // no memory, or no thread
  }
}

}  // namespace procpool::inline v0_1::detail
