#include <procpool/detail/async/composed.hpp>

#include <algorithm>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/errors.hpp>

#include "engine/patience.hpp"

namespace procpool::inline v0::detail {

Composed::Composed(std::shared_ptr<CallContext const> context,
                   std::shared_ptr<CallContext const> likely_context)
    : Completion(std::move(context), Kind::composed), likely_context_(std::move(likely_context)) {}

Composed::~Composed() = default;

namespace {

// True if there is nothing to cancel any more.
bool is_decided(Completion const& what) noexcept {
  return what.ended() || (!what.is_task() && static_cast<Composed const&>(what).decided());
}

}  // namespace

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

bool Composed::waits_no_more() noexcept {
  Lock const lock(mutex_);
  awaited_.reset();
  return requested_;
}

// A cancellation is not reported: the program has asked for it.
void Composed::report_lost() noexcept {
  std::exception_ptr const lost = error();
  if (!lost) return;
  try {
    std::rethrow_exception(lost);
  } catch (TaskCancelled const&) {
    return;
  } catch (...) {
  }
  try {
    detail::report_lost(*this, [lost] { return describe(lost); });
  } catch (...) {  // no memory for the report
  }
}

// ---- cancelling

namespace {

// The parts of a completion that have not ended.
struct Below {
  std::vector<std::shared_ptr<Task>> tasks;
  std::vector<std::shared_ptr<Completion>> asked;  // see Composed::ask
  bool busy = false;                               // code of the program runs there

  Below() = default;
  Below(Below const&) = delete;
  Below& operator=(Below const&) = delete;
  ~Below() { unask(); }

  // Withdraws all requests. True: one of them had an effect.
  bool unask() noexcept {
    bool cancelled = false;
    for (auto const& one : std::exchange(asked, {})) {
      cancelled = static_cast<Composed&>(*one).unask() || cancelled;
    }
    return cancelled;
  }
};

void look_below(std::shared_ptr<Completion> const& what, Below& below) {
  Composed::List open{what};
  while (!open.empty()) {
    std::shared_ptr<Completion> const one = std::move(open.back());
    open.pop_back();
    if (is_decided(*one)) continue;
    if (one->is_task()) {
      below.tasks.push_back(std::static_pointer_cast<Task>(one));
      continue;
    }
    auto& composed = static_cast<Composed&>(*one);
    below.asked.reserve(below.asked.size() + 1);
    if (composed.ask()) below.asked.push_back(one);
    if (!composed.awaited(open)) below.busy = true;
  }
}

// A pool that is gone has ended all its tasks.
void cancel_task(std::shared_ptr<Task> const& task, Engine::Running running) {
  if (!task->context()) return;
  if (auto const engine = task->context()->engine.lock()) engine->cancel(task, running);
}

Cancel cancel_tasks(std::span<std::shared_ptr<Task> const> tasks) {
  // Waiting elements first, so that none begins in the place of one that is ended.
  if (tasks.size() > 1) {
    for (auto const& task : tasks) cancel_task(task, Engine::Running::goes_on);
  }
  Cancel found = Cancel::too_late;
  for (auto const& task : tasks) {
    if (!task->ended()) cancel_task(task, Engine::Running::is_ended);
    Task::Counts const counts = task->counts();
    if (counts.stopped != 0 || task->was_asked()) {
      found = Cancel::ended;
    } else if (counts.cancelled != 0 && found == Cancel::too_late) {
      found = Cancel::never_began;
    }
  }
  return found;
}

}  // namespace

// A refused allocation must not let a cancelled task run on. A thread that waits for its end, for
// example the destructor of the pool, would wait for as long as the task runs.
Cancel cancel(std::shared_ptr<Completion> const& what) {
  for (;;) {
    what->check_usable();
    if (is_decided(*what)) return Cancel::too_late;
    if (what->is_task()) {
      auto const task = std::static_pointer_cast<Task>(what);
      return cancel_tasks(std::span(&task, 1));
    }
    Below below;
    patiently([&] {
      below.unask();
      below.tasks.clear();
      below.busy = false;
      look_below(what, below);
    });
    Cancel const found = cancel_tasks(below.tasks);
    if (found != Cancel::too_late || below.busy) {
      below.asked.clear();  // those requests stand
      // Code of the program is not interrupted. Its future was told.
      return found != Cancel::too_late ? found : Cancel::ended;
    }
    if (below.unask()) return Cancel::ended;
    // The task cannot be ended because its process waits in the kernel, or it has just ended.
    bool const all_ended =
        std::ranges::all_of(below.tasks, [](auto const& task) { return task->ended(); });
    if (!all_ended) return Cancel::too_late;
    // By now the future may wait for another completion, or is about to.
    std::this_thread::yield();
  }
}

void Composed::waits_for(std::shared_ptr<Completion> const& what) noexcept {
  {
    Lock const lock(mutex_);
    awaited_ = what;
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

}  // namespace procpool::inline v0::detail
