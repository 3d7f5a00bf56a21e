// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/async/call_context.hpp>

#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include <procpool/detail/async/composed.hpp>
#include <procpool/detail/engine/task.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0_1::detail {

std::shared_ptr<CallContext const> known_context(Completion const& completion) {
  if (completion.context() || completion.is_task()) return completion.context();
  return static_cast<Composed const&>(completion).likely_context();
}

std::shared_ptr<CallContext const> context_of(Completion const& completion) {
  if (auto context = known_context(completion)) return context;
  return std::make_shared<CallContext const>(CallContext{{}, Callbacks::without_pool(), {}, {}});
}

std::shared_ptr<CallContext const> with_executor(CallContext const& context, Executor executor) {
  auto changed = std::make_shared<CallContext>(context);
  changed->executor = std::move(executor);
  return changed;
}

void check_process(CallContext const& context) {
  if (context.callbacks->forked()) {
    throw SetupError("pool \"" + context.callbacks->pool() +
                     "\" belongs to the process that this one was forked from; make a pool here");
  }
}

ContextWork::ContextWork(std::shared_ptr<CallContext const> context)
    : Work(context->callbacks, context->executor ? Thread::executors : Thread::callbacks),
      context_(std::move(context)) {}

ContextWork::~ContextWork() = default;

// Goes to an executor with the work. If the executor destroys it unused, the work runs on the
// callback thread.
class ContextWork::DropGuard {
 public:
  explicit DropGuard(std::shared_ptr<ContextWork> work) : work_(std::move(work)) {}
  DropGuard(DropGuard const&) = delete;
  DropGuard& operator=(DropGuard const&) = delete;
  ~DropGuard() {
    if (used_.load(std::memory_order_acquire) || work_->callbacks().forked()) return;
    work_->refused_ = true;
    work_->callbacks().log(
        "an executor did not run what it was given; it runs on the callback thread");
    // Without a callback thread the work runs on the thread that asks executors, which exists.
    static_cast<void>(work_->callbacks().take_from_executor(*work_));
    work_->schedule();
  }

  void use() {
    // The work runs once, even if the executor runs this twice.
    if (used_.exchange(true, std::memory_order_acq_rel)) return;
    Callbacks::Outside const outside(*work_);
    work_->perform();
  }

 private:
  std::shared_ptr<ContextWork> const work_;
  std::atomic<bool> used_{false};
};

void ContextWork::run() noexcept {
  if (!context_->executor || refused_) {
    perform();
    return;
  }
  try {
    auto const guard = std::make_shared<DropGuard>(shared_from_this());
    try {
      context_->executor([guard] { guard->use(); });
    } catch (...) {
      callbacks().log("an executor threw: " + describe(std::current_exception()));
    }
  } catch (...) {  // no memory for the guard
    perform();
  }
}

// The queue becomes an owner, so that this thread is not the last one: the end of the work may run
// code of the user.
void ContextWork::schedule() noexcept { callbacks().post(shared_from_this()); }

std::unique_ptr<ScheduleCallback> ScheduleCallback::of(std::shared_ptr<ContextWork> work) {
  auto callback = std::make_unique<ScheduleCallback>();
  callback->work_ = std::move(work);
  return callback;
}

void ScheduleCallback::at_end(Completion& completion, std::unique_ptr<ScheduleCallback> callback,
                              std::shared_ptr<ContextWork> work) noexcept {
  callback->work_ = std::move(work);
  completion.on_end(std::move(callback));
}

void ScheduleCallback::ended() noexcept {
  Callbacks& callbacks = work_->callbacks();
  callbacks.post(std::move(work_));
}

std::string task_text(Completion const& completion) {
  if (!completion.is_task()) return {};
  return " of " + static_cast<Task const&>(completion).name();
}

std::string type_text(std::type_info const& type) {
  int status = 0;
  std::unique_ptr<char, void (*)(void*)> const demangled(
      abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), std::free);
  return demangled ? demangled.get() : type.name();
}

}  // namespace procpool::inline v0_1::detail
