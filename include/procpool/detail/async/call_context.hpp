#pragma once

// CallContext: what a call remembers of the pool it was made through, for as long as its result lives,
// which may be longer than the pool: how to cancel it, and where its continuations run.
// ContextWork: something of the user's that runs there.

#include <memory>
#include <string>
#include <typeinfo>
#include <utility>

#include <procpool/detail/async/callbacks.hpp>
#include <procpool/detail/async/completion.hpp>
#include <procpool/detail/codec/exception_types.hpp>
#include <procpool/detail/engine/task_control.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0::detail {

class Engine;

// Immutable, and shared by all calls of a pool, or of one pool.with(...).
struct CallContext {
  std::weak_ptr<Engine> engine;
  std::shared_ptr<Callbacks> callbacks;
  Executor executor;  // empty: on the callback thread itself
  TaskControl control{};
  ExceptionTypes exceptions{};  // that come back as themselves
};

// The context of a completion, as far as it is known; may be null.
PROCPOOL_API std::shared_ptr<CallContext const> known_context(Completion const& completion);
// The same, or the one of all that has no pool.
PROCPOOL_API std::shared_ptr<CallContext const> context_of(Completion const& completion);

// Throws SetupError in a forked child of the process whose pool's it is.
PROCPOOL_API void check_process(CallContext const& context);

class PROCPOOL_API ContextWork : public Work, public std::enable_shared_from_this<ContextWork> {
 public:
  explicit ContextWork(std::shared_ptr<CallContext const> context);
  ~ContextWork() override;

  // Runs perform(), by the executor if there is one. Never fails; any thread.
  void schedule() noexcept;
  void run() noexcept final;

 protected:
  // Runs the user's code; records whatever it throws.
  virtual void perform() noexcept = 0;

 private:
  class DropGuard;

  std::shared_ptr<CallContext const> const context_;
  bool refused_ = false;  // by the executor; touched by one thread after the other
};

// Schedules work when a completion has ended. Made beforehand, so that from then on nothing can fail.
class PROCPOOL_API ScheduleCallback final : public Completion::Callback {
 public:
  static void at_end(Completion& completion, std::unique_ptr<ScheduleCallback> callback,
                     std::shared_ptr<ContextWork> work) noexcept;
  void ended() noexcept override;

 private:
  std::shared_ptr<ContextWork> work_;
};

// "task 5" for what(), or nothing.
PROCPOOL_API std::string task_text(Completion const& completion);
// The name of a type as its writer knows it.
PROCPOOL_API std::string type_text(std::type_info const& type);

}  // namespace procpool::inline v0::detail
