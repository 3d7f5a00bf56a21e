// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// CallContext: the memory that a call has of its pool: how to cancel the call, and where its
// continuations run. It lives as long as the result, which may outlive the pool.
// ContextWork: code of the user that runs there.

#include <memory>
#include <string>
#include <typeinfo>
#include <utility>

#include <procpool/detail/async/callbacks.hpp>
#include <procpool/detail/async/completion.hpp>
#include <procpool/detail/codec/exception_types.hpp>
#include <procpool/detail/engine/task_control.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

class Engine;

// Immutable, and shared by all calls of a pool, or of one pool.with(...).
struct CallContext {
  std::weak_ptr<Engine> engine;
  std::shared_ptr<Callbacks> callbacks;
  Executor executor;  // empty: on the callback thread itself
  TaskControl control{};
  ExceptionTypes exceptions{};  // PoolOptions::exceptions
};

// The context of a completion. Null: it is not known, or there is none.
PROCPOOL_API std::shared_ptr<CallContext const> known_context(Completion const& completion);
// The same, or the context of all completions without a pool.
PROCPOOL_API std::shared_ptr<CallContext const> context_of(Completion const& completion);

// The same context with another executor.
PROCPOOL_API std::shared_ptr<CallContext const> with_executor(CallContext const& context,
                                                              Executor executor);

// Throws SetupError in a forked child of the process that made the pool.
PROCPOOL_API void check_process(CallContext const& context);

class PROCPOOL_API ContextWork : public Work, public std::enable_shared_from_this<ContextWork> {
 public:
  explicit ContextWork(std::shared_ptr<CallContext const> context);
  ~ContextWork() override;

  // Runs perform() later, on the executor if there is one. Never fails; any thread.
  void schedule() noexcept;
  void run() noexcept final;

 protected:
  // Runs the code of the user, and records its exception.
  virtual void perform() noexcept = 0;

 private:
  class DropGuard;

  std::shared_ptr<CallContext const> const context_;
  bool refused_ = false;  // by the executor; used by one thread after the other
};

// Schedules work when a completion has ended. Made in advance, so that nothing can fail at that
// time.
class PROCPOOL_API ScheduleCallback final : public Completion::Callback {
 public:
  static std::unique_ptr<ScheduleCallback> of(std::shared_ptr<ContextWork> work);
  static void at_end(Completion& completion, std::unique_ptr<ScheduleCallback> callback,
                     std::shared_ptr<ContextWork> work) noexcept;
  void ended() noexcept override;

 private:
  std::shared_ptr<ContextWork> work_;
};

// " of task 5" for Work::what(), or nothing.
PROCPOOL_API std::string task_text(Completion const& completion);
// The name of a type as in its source.
PROCPOOL_API std::string type_text(std::type_info const& type);

}  // namespace procpool::inline v0_1::detail
