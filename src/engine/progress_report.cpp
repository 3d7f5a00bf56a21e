#include <procpool/detail/progress_report.hpp>

#include <utility>

#include <procpool/errors.hpp>

namespace procpool::inline v0::detail {

ProgressReport::ProgressReport(std::shared_ptr<CallSite const> site, ProgressCallback callback,
                               std::optional<std::uint64_t> total)
    : SiteWork(site), site_(std::move(site)), callback_(std::move(callback)) {
  news_.total = total;
}

void ProgressReport::note(News const& news) noexcept {
  {
    std::lock_guard const lock(mutex_);
    if (over_) return;
    // Two threads may come in another order than their news were made in.
    if (news.done >= news_.done) {
      news_.done = news.done;
      news_.failed = news.failed;
      news_.cancelled = news.cancelled;
      if (news.total) news_.total = news.total;
    }
    news_.finished |= news.finished;
    if (std::exchange(scheduled_, true)) return;
  }
  schedule();
}

void ProgressReport::perform() noexcept {
  Progress progress;
  {
    std::lock_guard const lock(mutex_);
    scheduled_ = false;
    if (over_) return;
    running_ = true;
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
  ProgressCallback dropped;  // here, and not by whoever is the task's last owner
  {
    std::lock_guard const lock(mutex_);
    running_ = false;
    over_ |= progress.finished;
    if (over_) dropped = std::exchange(callback_, nullptr);
  }
  dropped = nullptr;
  told_.notify_all();
}

bool ProgressReport::may_wait() const noexcept {
  return !site_->executor && !callbacks().on_thread();
}

void ProgressReport::wait_until_told() {
  if (!may_wait()) return;
  std::unique_lock lock(mutex_);
  told_.wait(lock, [this] { return over_ && !running_; });
}

void ProgressReport::mute() {
  ProgressCallback dropped;
  std::unique_lock lock(mutex_);
  over_ = true;
  if (running_) {
    if (may_wait()) told_.wait(lock, [this] { return !running_; });
  } else {
    dropped = std::exchange(callback_, nullptr);
  }
}

}  // namespace procpool::inline v0::detail
