// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Composed: a completion that is no task. It was made of other completions, or by code of the
// program. It knows the completions that it waits for, so that cancelling it cancels them. And
// let_go(), for the ends of long chains.

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <procpool/detail/async/callbacks.hpp>
#include <procpool/detail/async/completion.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

class PROCPOOL_API Composed : public Completion {
 public:
  using List = std::vector<std::shared_ptr<Completion>>;

  // Adds the completions that it waits for now to `all`; none if its outcome is decided. False: it
  // waits for none, because code of the program runs or is about to. The request to cancel is kept
  // then, for the next completion that it waits for, or else for its own value.
  virtual bool awaited(List& all);

  // A request to cancel a completion whose parts may also end by themselves meanwhile. From here on
  // the request decides its outcome. False: it is of another kind, or decided.
  virtual bool ask() noexcept { return false; }
  // Withdraws ask(). True: too late, the request has cancelled it.
  virtual bool unask() noexcept { return false; }

  // The outcome is final, though the completion may not have ended yet.
  bool decided() const noexcept { return decided_.load(std::memory_order_acquire); }

  // Logs an unseen error. For Completion.
  void report_lost() noexcept;

  // What the end of the awaited completion leads to.
  enum class Then : std::uint8_t {
    continuation,  // it runs, in the context of this completion
    coroutine,     // it goes on, in the context of the awaited completion if that has one
    its_end,       // this completion has the same outcome
    its_end_or_time
  };
  // It has ended, and surely with a value: false. Looks at so many levels.
  virtual bool may_have_failed(int levels) const noexcept = 0;

  // It waits for `what` from now on. A request that is kept cancels that at once.
  void waits_for(std::shared_ptr<Completion> const& what, Then then) noexcept;
  // It cannot end as long as this thread does not return. Looks at so many levels.
  virtual bool needs_thread(Callbacks::OfThread const& thread, int levels) const noexcept;
  // Code of the program runs from now on. True: a request is kept.
  bool waits_no_more() noexcept;
  void request() noexcept;
  // A request is kept.
  bool requested() const noexcept;
  // Sets the context, unless there is one. For the code that makes the value.
  void found_context(std::shared_ptr<CallContext const> const& context) noexcept {
    adopt_context(context);
  }
  // The context becomes likely_context(), if there is one. Before this call the likely context
  // serves callers that cannot wait for the real one.
  void found_no_context() noexcept { adopt_context(likely_context_); }
  std::shared_ptr<CallContext const> const& likely_context() const noexcept {
    return likely_context_;
  }

 protected:
  explicit Composed(std::shared_ptr<CallContext const> context,
                    std::shared_ptr<CallContext const> likely_context = nullptr);
  virtual ~Composed();

  // The error that it ended with. Null: none, or another completion reports it.
  virtual std::exception_ptr error() const noexcept { return nullptr; }

  // From now on no request changes the outcome. True: there is a request to cancel it that had no
  // effect yet.
  bool decide() noexcept PROCPOOL_REQUIRES(mutex_);

  mutable Mutex mutex_;

 private:
  std::shared_ptr<CallContext const> const likely_context_;
  std::atomic<bool> decided_{false};
  std::weak_ptr<Completion> awaited_ PROCPOOL_GUARDED_BY(mutex_);
  Then then_ PROCPOOL_GUARDED_BY(mutex_) = Then::continuation;
  bool requested_ PROCPOOL_GUARDED_BY(mutex_) = false;  // cancel the next one that it waits for
};

// The error in place of a value that code of the program made although a request to cancel had
// come.
PROCPOOL_API std::exception_ptr cancelled_meanwhile() noexcept;

// A composed completion, and not ended: see Composed::needs_thread.
bool needs_thread(Completion const& what, Callbacks::OfThread const& thread,
                  int levels = 1'000) noexcept;

// For an ended completion: see Composed::may_have_failed.
PROCPOOL_API bool may_have_failed(Completion const& what, int levels = 100) noexcept;

// For a caller that is about to wait, and whose own thread would have to end that.
[[noreturn]] void throw_self_wait(Work::Thread thread);

// There is nothing to cancel any more.
bool is_decided(Completion const& what) noexcept;

// Drops it. Calls from inside another call on this thread are done after that one. So the end of a
// long chain needs no more stack than that of one link.
PROCPOOL_API void let_go(std::shared_ptr<void> what) noexcept;

// Logs an unseen error in the log of its pool. The callback thread calls `text`, unless too many
// errors were logged.
void report_lost(Completion const& whose, std::function<std::string()> text) noexcept;

}  // namespace procpool::inline v0_1::detail
