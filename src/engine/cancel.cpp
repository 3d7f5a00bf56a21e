// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/async/cancel.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/async/composed.hpp>
#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/engine/task.hpp>

#include "engine/patience.hpp"

namespace procpool::inline v0_1::detail {

namespace {

// The parts of a completion that have not ended.
struct Below {
  std::vector<std::shared_ptr<Task>> tasks;
  Composed::List asked;    // see Composed::ask
  Composed::List pending;  // whose parts have all ended, and which end themselves soon
  bool busy = false;       // code of the program runs there

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
    std::size_t const before = open.size();
    if (!composed.awaited(open)) {
      below.busy = true;
    } else if (std::ranges::all_of(std::span(open).subspan(before),
                                   [](auto const& part) { return is_decided(*part); })) {
      below.pending.push_back(one);
    }
  }
}

// Anew.
void look_again(std::shared_ptr<Completion> const& what, Below& below) {
  patiently([&] {
    below.unask();
    below.tasks.clear();
    below.pending.clear();
    below.busy = false;
    look_below(what, below);
  });
}

// What became of tasks that were to be cancelled.
Cancel effect_on(std::span<std::shared_ptr<Task> const> tasks) {
  Cancel found = Cancel::too_late;
  for (auto const& task : tasks) {
    Task::Counts const counts = task->counts();
    if (counts.stopped != 0 || task->was_asked()) return Cancel::ended;
    if (counts.cancelled != 0) found = Cancel::never_began;
  }
  return found;
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
  for (auto const& task : tasks) {
    if (!task->ended()) cancel_task(task, Engine::Running::is_ended);
  }
  return effect_on(tasks);
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
    look_again(what, below);
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

// ---- requests that do not wait

namespace {

void request_stop_of(std::shared_ptr<Task> const& task) noexcept {
  if (!task->context()) return;
  if (auto const engine = task->context()->engine.lock()) engine->request_stop(task);
}

// A request to stop a completion that is no task. It asks the tasks below, and looks again when they
// have all ended by themselves: by then the completion may wait for others. Nothing waits: the
// thread that ends the last of them goes on.
class StopRequest {
 public:
  explicit StopRequest(std::shared_ptr<Completion> what) : what_(std::move(what)) {}

  static void go_on(std::shared_ptr<StopRequest> const& request) noexcept {
    while (request->ask(request)) {
    }
  }

 private:
  class PartEnded final : public Completion::Callback {
   public:
    explicit PartEnded(std::shared_ptr<StopRequest> request) : request_(std::move(request)) {}
    void ended() noexcept override {
      if (request_->is_last() && !request_->is_over()) go_on(request_);
    }

   private:
    std::shared_ptr<StopRequest> const request_;
  };

  // True: all parts have ended meanwhile, and others may have come in their place.
  bool ask(std::shared_ptr<StopRequest> const& self) noexcept {
    if (is_decided(*what_)) {
      below_.unask();
      return false;
    }
    look_again(what_, below_);
    std::size_t const parts = below_.tasks.size() + below_.pending.size();
    if (below_.tasks.empty() && (below_.busy || parts == 0)) return !is_over();
    std::vector<std::unique_ptr<PartEnded>> callbacks;
    patiently([&] {
      callbacks.reserve(parts);
      while (callbacks.size() < parts) callbacks.push_back(std::make_unique<PartEnded>(self));
    });
    // Relaxed: the callbacks are registered behind it. One more than parts: this function's.
    open_.store(parts + 1, std::memory_order_relaxed);
    // Behind this loop the members belong to the thread that ends the last part.
    Composed::List all = std::move(below_.pending);
    std::vector<std::shared_ptr<Task>> const tasks = patiently([&] { return below_.tasks; });
    for (std::size_t i = 0; i < parts; ++i) {
      Completion& part = i < tasks.size() ? *tasks[i] : *all[i - tasks.size()];
      part.on_end(std::move(callbacks[i]));
    }
    for (auto const& task : tasks) request_stop_of(task);
    return is_last() && !is_over();
  }

  // Acquire and release: the last one comes after all others.
  bool is_last() noexcept { return open_.fetch_sub(1, std::memory_order_acq_rel) == 1; }

  // The request had an effect, or stands.
  bool is_over() noexcept {
    if (effect_on(below_.tasks) == Cancel::too_late && !below_.busy) return below_.unask();
    below_.asked.clear();
    return true;
  }

  std::shared_ptr<Completion> const what_;
  Below below_;
  std::atomic<std::size_t> open_{0};  // parts that have not ended
};

// Hands the requests of a token on to a completion, until that ends: then it is destroyed.
class StopCallback final : public Completion::Callback {
 public:
  StopCallback(std::shared_ptr<Completion> const& what, std::stop_token const& token)
      : registration_(token, Request{what}) {}
  void ended() noexcept override {}

 private:
  // Runs on the thread that requests. It waits for nothing that this thread could hold: the thread
  // that ends the completion waits for it here, in the destructor of `registration_`.
  struct Request {
    std::weak_ptr<Completion> what;

    void operator()() const noexcept {
      if (auto const known = what.lock()) request_stop(known);
    }
  };

  std::stop_callback<Request> const registration_;
};

}  // namespace

bool request_stop(std::shared_ptr<Completion> const& what) noexcept {
  if (is_decided(*what) || what->is_foreign()) return false;
  if (what->is_task()) {
    request_stop_of(std::static_pointer_cast<Task>(what));
  } else {
    StopRequest::go_on(patiently([&] { return std::make_shared<StopRequest>(what); }));
  }
  return true;
}

void stop_with(std::shared_ptr<Completion> const& what, std::stop_token const& token) {
  if (!token.stop_possible()) return;
  what->on_end(std::make_unique<StopCallback>(what, token));
}

}  // namespace procpool::inline v0_1::detail
