#pragma once

// Completion: something that ends once. Threads wait for it, and hooks are told. A Task is one, and so
// is the state of a future that was composed of others.
//
// Any thread may call anything. In a forked child of the process that made it, waiting throws.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0::detail {

struct CallSite;

class PROCPOOL_API Completion {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Told once, on the thread that ends the completion (it may be the dispatcher): never user code, and
  // short.
  class PROCPOOL_API Hook {
   public:
    virtual ~Hook();
    virtual void ended() noexcept = 0;

   private:
    friend Completion;
    Hook* next_ = nullptr;
  };

  Completion(Completion const&) = delete;
  Completion& operator=(Completion const&) = delete;

  bool ended() const noexcept;

  // Blocks until it has ended, or until the deadline; says whether it has.
  bool wait_until(std::optional<TimePoint> deadline) const;

  // If it has ended already, the hook is told at once, by the caller.
  void on_end(std::unique_ptr<Hook> hook) noexcept;

  // Where the call was made, and so where its continuations run; may be null.
  std::shared_ptr<CallSite const> const& site() const noexcept { return site_; }

 protected:
  explicit Completion(std::shared_ptr<CallSite const> site);
  ~Completion();

  void end() noexcept;  // once; with no lock held
  void check_process() const;

 private:
  std::shared_ptr<CallSite const> const site_;
  unsigned const forks_;  // made after so many forks of the program: later children must not wait
  mutable std::atomic<std::uint32_t> ended_{0};  // futex word, see completion.cpp
  std::atomic<Hook*> hooks_{nullptr};            // a stack of them, or the mark that it has ended
};

}  // namespace procpool::inline v0::detail
