// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "worker/worker_context.hpp"

#include <thread>

#include "os/blocked_signals.hpp"

namespace procpool::inline v0_1::worker {

bool WorkerContext::stop_requested() noexcept {
  std::uint64_t const claim = claim_.load(std::memory_order_relaxed);
  // The rings are not mapped in a forked child.
  if (claim == 0 || forked_.load(std::memory_order_relaxed)) return false;
  channel_.listen(claim - 1);
  return channel_.asked_to_stop(claim - 1);
}

bool WorkerContext::log(LogLevel level, std::string_view text) noexcept {
  std::uint64_t const claim = claim_.load(std::memory_order_relaxed);
  if (claim == 0 || forked_.load(std::memory_order_relaxed)) return false;
  channel_.log(claim, static_cast<std::uint32_t>(level), text);
  return true;
}

void WorkerContext::progress(std::uint64_t done, std::uint64_t total) noexcept {
  std::uint64_t const claim = claim_.load(std::memory_order_relaxed);
  // The rings are not mapped in a forked child.
  if (claim == 0 || forked_.load(std::memory_order_relaxed)) return;
  channel_.tell_progress(claim - 1, done, total);
}

std::stop_token WorkerContext::stop_token() {
  std::uint64_t const claim = claim_.load(std::memory_order_relaxed);
  detail::Lock const lock(mutex_);
  if (!source_ || source_claim_ != claim) {
    source_.emplace();
    source_claim_ = claim;
  }
  if (forked_.load(std::memory_order_relaxed)) return source_->get_token();
  if (!thread_started_) {
    // Signals for the process are for the task's thread.
    os::BlockedSignals const blocked;
    std::thread([this] { forward_requests(); }).detach();
    thread_started_ = true;
  }
  // After the source is there: a request from now on finds it.
  channel_.listen(claim - 1);
  // The request may have come before the element listened.
  if (channel_.asked_to_stop(claim - 1)) source_->request_stop();
  return source_->get_token();
}

void WorkerContext::forward_requests() {
  for (std::uint64_t asked = 0;;) {
    asked = channel_.wait_until_asked(asked);
    std::optional<std::stop_source> source;
    {
      detail::Lock const lock(mutex_);
      if (source_ && source_claim_ == asked) source = source_;
    }
    // Without the mutex: stop callbacks are user code.
    if (source) source->request_stop();
  }
}

}  // namespace procpool::inline v0_1::worker
