#pragma once

// Composed: a completion that is not a task's: of what was made of other completions, or by code of the
// program's. It knows what it waits for, so that cancelling it cancels that. And let_go(), for what may be
// the end of a long chain.

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <procpool/call_options.hpp>
#include <procpool/detail/async/completion.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/export.hpp>

namespace procpool::inline v0::detail {

class PROCPOOL_API Composed : public Completion {
 public:
  using List = std::vector<std::shared_ptr<Completion>>;

  // What it waits for at this time is added to `all`; nothing is, if its outcome is decided. False: it waits for
  // nothing, code of the program's is about to run or runs. The request is kept then, for what it waits for
  // next, or else for its own value.
  virtual bool awaited(List& all);

  // A request to cancel it, where what it waits for may also end by itself while that is being cancelled: from here
  // on the request decides what comes of it. False: it is no such thing, or decided.
  virtual bool ask() noexcept { return false; }
  // After ask(): nothing has come of the request. True: it has, it was cancelled by that.
  virtual bool unask() noexcept { return false; }

  // Its outcome will be no other, though it may not have ended yet.
  bool decided() const noexcept { return decided_.load(std::memory_order_acquire); }

  // For Completion.
  void report_lost() noexcept;

  // It waits for this from now on, which is cancelled at once if a request has found nothing before.
  void waits_for(std::shared_ptr<Completion> const& what) noexcept;
  // Code of the program's runs from now on. True: there is such a request.
  bool waits_no_more() noexcept;
  void request() noexcept;
  // Its context, if it has none so far. For the code that makes its value.
  void found_context(std::shared_ptr<CallContext const> const& context) noexcept {
    adopt_context(context);
  }
  // Then it is the one that was named beforehand, if there is one; until then it serves those who cannot wait.
  void found_no_context() noexcept { adopt_context(likely_context_); }
  std::shared_ptr<CallContext const> const& likely_context() const noexcept {
    return likely_context_;
  }

 protected:
  explicit Composed(std::shared_ptr<CallContext const> context,
                    std::shared_ptr<CallContext const> likely_context = nullptr);
  virtual ~Composed();

  // The error that it ended with; null: none, or another will tell.
  virtual std::exception_ptr error() const noexcept { return nullptr; }

  // From now on what it makes of its outcome is its own affair. True: there is a request to cancel
  // it that nothing has come of.
  bool decide() noexcept PROCPOOL_REQUIRES(mutex_);

  Mutex mutex_;

 private:
  std::shared_ptr<CallContext const> const likely_context_;
  std::atomic<bool> decided_{false};
  std::weak_ptr<Completion> awaited_ PROCPOOL_GUARDED_BY(mutex_);
  bool requested_ PROCPOOL_GUARDED_BY(mutex_) = false;  // to cancel what it waits for next
};

// Where a request to cancel came to while code of the program's ran, and that has made a value all the same.
PROCPOOL_API std::exception_ptr cancelled_meanwhile() noexcept;

// What cancelling a handle does; see Handle::cancel.
PROCPOOL_API Cancel cancel(std::shared_ptr<Completion> const& what);

// Drops it. On a thread that is just dropping something so, after that: the end of a long chain needs no more
// stack than that of one link.
PROCPOOL_API void let_go(std::shared_ptr<void> what) noexcept;

// The error that nobody has looked at, to the log of the pool whose call it was: `text` is asked for it on
// the callback thread, if not too many were told.
void report_lost(Completion const& whose, std::function<std::string()> text) noexcept;

}  // namespace procpool::inline v0::detail
