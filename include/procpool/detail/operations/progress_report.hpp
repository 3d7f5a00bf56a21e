// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// ProgressReport: carries the counts of a task to the user's progress callback. The thread that
// delivers outcomes notes them. That costs next to nothing while the callback still has to be told of
// the last ones.
//
// Any thread may note; one thread at a time runs the callback.

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include <procpool/detail/async/call_context.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/progress.hpp>

namespace procpool::inline v0_1::detail {

class PROCPOOL_API ProgressReport final : public ContextWork {
 public:
  // `total`: how many elements, if it is known beforehand. Throws SetupError.
  ProgressReport(std::shared_ptr<CallContext const> context, ProgressCallback callback,
                 std::optional<std::uint64_t> total);

  struct News {
    std::uint64_t done = 0;
    std::optional<std::uint64_t> total;
    std::uint64_t failed = 0;
    std::uint64_t cancelled = 0;
    bool finished = false;
  };
  void note(News const& news) noexcept;

  // Blocks until the callback was told of the end and has returned, so that what it refers to may
  // go. Does not wait where that could not be: on the callback thread, and for another's executor.
  // Throws SetupError in a forked child.
  void wait_until_told();

  // Nothing is told from now on. Blocks as above while the callback runs.
  void mute();

  std::string what() const override { return "a progress callback"; }

 private:
  void perform() noexcept override;
  bool may_wait() const noexcept;

  std::shared_ptr<CallContext const> const context_;
  std::chrono::steady_clock::time_point const begin_ = std::chrono::steady_clock::now();
  Mutex mutex_;
  Condition told_;
  // Set and reset under mutex_; called without it by perform(), which alone runs while running_.
  ProgressCallback callback_;
  News news_ PROCPOOL_GUARDED_BY(mutex_);
  bool fresh_ PROCPOOL_GUARDED_BY(mutex_) = false;      // the callback does not know news_ yet
  bool scheduled_ PROCPOOL_GUARDED_BY(mutex_) = false;  // to be called, or being called
  bool running_ PROCPOOL_GUARDED_BY(mutex_) = false;
  bool over_ PROCPOOL_GUARDED_BY(mutex_) = false;
  bool failed_ = false;  // the callback threw, which was logged; used by perform() alone
};

}  // namespace procpool::inline v0_1::detail
