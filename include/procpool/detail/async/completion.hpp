#pragma once

// Completion: something that ends once. Threads wait for it, and callbacks are told. A Task is one, and
// so is the state of a future that was composed of others.
//
// Any thread may call anything. In a forked child of the process that made it, what waits for it throws.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0::detail {

struct CallContext;

class PROCPOOL_API Completion {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Told once, on the thread that ends the completion (it may be the dispatcher): never user code, and
  // short.
  class PROCPOOL_API Callback {
   public:
    virtual ~Callback();
    virtual void ended() noexcept = 0;
    // Nobody has a use for it any more, so it may go untold.
    virtual bool stale() const noexcept;

   private:
    friend Completion;
    Callback* next_ = nullptr;
  };

  Completion(Completion const&) = delete;
  Completion& operator=(Completion const&) = delete;

  bool ended() const noexcept;

  // Blocks until it has ended, or until the deadline; says whether it has.
  bool wait_until(std::optional<TimePoint> deadline) const;

  // If it has ended already, the caller tells the callback at once.
  void on_end(std::unique_ptr<Callback> callback) noexcept;

  // Throws SetupError in a process that it will never end in.
  void check_usable() const {
    if (!ended()) check_process();
  }

  // Where the call was made, and so where its continuations run; may be null.
  std::shared_ptr<CallContext const> const& context() const noexcept {
    // Acquire: what is adopted was written before.
    return adopted_.load(std::memory_order_acquire) ? context_ : no_context();
  }

  // A Task; else a Composed.
  bool is_task() const noexcept { return kind_ == Kind::task; }

  // Its owner has gone without having looked at the outcome: an error is to be told to the log.
  void leave() noexcept;

 protected:
  enum class Kind : std::uint8_t { task, composed };

  Completion(std::shared_ptr<CallContext const> context, Kind kind);
  ~Completion();

  void end() noexcept;  // once; with no lock held
  void check_process() const;
  // Its context, if it has none so far. Only for the code that is going to end it.
  void adopt_context(std::shared_ptr<CallContext const> const& context) noexcept;

 private:
  static std::shared_ptr<CallContext const> const& no_context() noexcept;
  void drop_stale_callbacks() noexcept;
  void report_left() noexcept;

  std::shared_ptr<CallContext const> context_;  // written before adopted_ is true, never after
  unsigned const forks_;  // made after so many forks of the program: later children must not wait
  mutable std::atomic<std::uint32_t> ended_{0};    // futex word, see completion.cpp
  std::atomic<Callback*> end_callbacks_{nullptr};  // a stack of them, or the mark that it has ended
  std::atomic<std::int32_t> until_look_;  // so many callbacks more, then stale ones are dropped
  std::atomic<bool> adopted_;
  std::atomic<bool> left_{false};  // set once by its owner, cleared once by who reports
  Kind const kind_;
};

}  // namespace procpool::inline v0::detail
