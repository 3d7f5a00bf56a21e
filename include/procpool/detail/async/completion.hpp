// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Completion: an event that happens once, the end of a call. Threads wait for it, and callbacks are
// called. A Task is a completion, and so is the state of a future that was composed of others.
//
// Any thread may call anything. In a forked child of the process that made it, waiting throws.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1::detail {

struct CallContext;

class PROCPOOL_API Completion {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Called once, on the thread that ends the completion, which may be the dispatcher. Short, and
  // never code of the user.
  class PROCPOOL_API Callback {
   public:
    virtual ~Callback();
    virtual void ended() noexcept = 0;
    // True: the callback has no use any more, and may be dropped without a call.
    virtual bool stale() const noexcept;

   private:
    friend Completion;
    Callback* next_ = nullptr;
  };

  Completion(Completion const&) = delete;
  Completion& operator=(Completion const&) = delete;

  bool ended() const noexcept;

  // Blocks until the end or the deadline. Returns whether it has ended.
  bool wait_until(std::optional<TimePoint> deadline) const;

  // Called at once, on this thread, if the completion has ended already.
  void on_end(std::unique_ptr<Callback> callback) noexcept;

  // Throws SetupError in a process in which it can never end.
  void check_usable() const {
    if (!ended()) check_process();
  }

  // The process was forked from the one that made it.
  bool is_foreign() const noexcept;

  // The context of the call, which says where its continuations run. May be null.
  std::shared_ptr<CallContext const> const& context() const noexcept {
    // Acquire: the adopted context was written before.
    return adopted_.load(std::memory_order_acquire) ? context_ : no_context();
  }

  // True: a Task. False: a Composed.
  bool is_task() const noexcept { return kind_ == Kind::task; }

  // The owner is gone and has not looked at the outcome: an error goes to the log.
  void leave() noexcept;

 protected:
  enum class Kind : std::uint8_t { task, composed };

  Completion(std::shared_ptr<CallContext const> context, Kind kind);
  ~Completion();

  void end() noexcept;  // once; with no lock held
  void check_process() const;
  // Sets the context, unless there is one. Only for the code that is going to end the completion.
  void adopt_context(std::shared_ptr<CallContext const> const& context) noexcept;

 private:
  static std::shared_ptr<CallContext const> const& no_context() noexcept;
  // Throws if the caller's own thread would have to end this while it waits.
  void check_not_for_this_thread(std::optional<TimePoint> deadline) const;
  void drop_stale_callbacks() noexcept;
  void report_left() noexcept;

  std::shared_ptr<CallContext const> context_;  // written before adopted_ is true, never after
  unsigned const forks_;  // forks of the program so far: later children must not wait
  mutable std::atomic<std::uint32_t> ended_{0};    // futex word, see completion.cpp
  std::atomic<Callback*> end_callbacks_{nullptr};  // a stack, or the mark of the end
  std::atomic<std::int32_t> until_look_;           // so many callbacks later stale ones are dropped
  std::atomic<bool> adopted_;
  std::atomic<bool> left_{false};  // set once by the owner, cleared once by the reporting thread
  Kind const kind_;
};

}  // namespace procpool::inline v0_1::detail
