// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// WorkerContext: the answers of this_task in a worker: the element that runs, and whether the
// parent asks it to stop. The worker's loop starts and ends elements. Any thread of the task may
// call the rest. In a forked child of the worker no request to stop ever arrives.

#include <atomic>
#include <cstdint>
#include <optional>
#include <stop_token>

#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/engine/run.hpp>

#include "channel/worker_end.hpp"
#include "engine/element_context.hpp"

namespace procpool::inline v0_1::worker {

class WorkerContext final : public ElementContext {
 public:
  explicit WorkerContext(channel::WorkerEnd& channel) noexcept : channel_(channel) {}

  // ---- the worker's loop

  // Before the first element of a chunk. Relaxed, as in Run: the task starts its threads later.
  void set_random(std::uint64_t random) noexcept {
    random_.store(random, std::memory_order_relaxed);
  }
  // The words in which a run stores which of its elements has begun.
  detail::RunWords run_words() noexcept {
    return {nullptr, nullptr, nullptr, &claim_, &index_, &forked_};
  }
  void end() noexcept { claim_.store(0, std::memory_order_relaxed); }
  bool forked() const noexcept { return forked_.load(std::memory_order_relaxed); }
  void in_forked_child() noexcept { forked_.store(true, std::memory_order_relaxed); }

  // ---- the task
  bool running() const noexcept override { return claim_.load(std::memory_order_relaxed) != 0; }
  std::uint64_t index() const noexcept override { return index_.load(std::memory_order_relaxed); }
  std::uint64_t random() const noexcept override { return random_.load(std::memory_order_relaxed); }
  std::uint64_t run() const noexcept override { return claim_.load(std::memory_order_relaxed); }
  bool stop_requested() noexcept override;
  std::stop_token stop_token() override;
  bool log(LogLevel level, std::string_view text) noexcept override;
  void progress(std::uint64_t done, std::uint64_t total) noexcept override;

 private:
  void forward_requests();  // on a thread of its own

  channel::WorkerEnd& channel_;
  std::atomic<std::uint64_t> claim_{0};  // serial + 1; 0: nothing runs
  std::atomic<std::uint64_t> index_{0};
  std::atomic<std::uint64_t> random_{0};
  std::atomic<bool> forked_{false};

  detail::Mutex mutex_;
  bool thread_started_ PROCPOOL_GUARDED_BY(mutex_) = false;
  std::uint64_t source_claim_ PROCPOOL_GUARDED_BY(mutex_) = 0;  // of the element that has source_
  std::optional<std::stop_source> source_ PROCPOOL_GUARDED_BY(mutex_);
};

}  // namespace procpool::inline v0_1::worker
