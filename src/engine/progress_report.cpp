// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/detail/operations/progress_report.hpp>

#include <utility>

#include <procpool/errors.hpp>

namespace procpool::inline v0_1::detail {

ProgressReport::ProgressReport(std::shared_ptr<CallContext const> context,
                               ProgressCallback callback, std::optional<std::uint64_t> total)
    : ContextWork(context), context_(std::move(context)), callback_(std::move(callback)) {
  news_.total = total;
}

void ProgressReport::note(News const& news) noexcept {
  {
    Lock const lock(mutex_);
    if (over_) return;
    // Two threads may arrive in another order than their counts were made.
    if (news.done >= news_.done) {
      news_.done = news.done;
      news_.failed = news.failed;
      news_.cancelled = news.cancelled;
      if (news.total) news_.total = news.total;
    }
    news_.finished |= news.finished;
    fresh_ = true;
    if (std::exchange(scheduled_, true)) return;
  }
  schedule();
}

void ProgressReport::perform() noexcept {
  Progress progress;
  {
    Lock const lock(mutex_);
    if (over_) return;  // it stays scheduled: nothing follows
    running_ = true;
    fresh_ = false;
    progress = {news_.done,
                news_.total,
                news_.failed,
                news_.cancelled,
                std::chrono::steady_clock::now() - begin_,
                news_.finished};
  }
  try {
    callback_(progress);
  } catch (...) {
    if (!std::exchange(failed_, true)) {
      callbacks().log("a progress callback threw: " + describe(std::current_exception()));
    }
  }
  bool again = false;
  for (;;) {
    // Destroyed here, before waiting threads go on, and not by the last owner of the task.
    ProgressCallback dropped;
    Lock const lock(mutex_);
    over_ |= progress.finished;
    if (over_ && callback_) {
      dropped = std::exchange(callback_, nullptr);  // behind the lock
      continue;
    }
    running_ = false;
    // Scheduled up to here, so that only one thread of an executor runs the callback.
    again = !over_ && fresh_;
    scheduled_ = over_ || again;
    break;
  }
  told_.notify_all();
  if (again) schedule();
}

bool ProgressReport::may_wait() const noexcept {
  return !context_->executor && !callbacks().on_thread();
}

void ProgressReport::wait_until_told() {
  if (callbacks().forked()) {
    // A thread that does not exist here may hold the lock.
    if (mutex_.try_lock()) {
      Lock const lock(mutex_, Lock::Adopt());
      if (over_ && !running_) return;
    }
    throw SetupError("this call belongs to a pool of the process that this one was forked from; "
                     "its progress is told "
                     "only there");
  }
  if (!may_wait()) return;
  Lock lock(mutex_);
  while (!over_ || running_) told_.wait(lock);
}

void ProgressReport::mute() {
  if (callbacks().forked()) return;
  ProgressCallback dropped;
  Lock lock(mutex_);
  over_ = true;
  if (running_) {
    while (may_wait() && running_) told_.wait(lock);
  } else {
    dropped = std::exchange(callback_, nullptr);
  }
}

}  // namespace procpool::inline v0_1::detail
