#pragma once

// WorkerContext: what this_task answers in a worker: which element runs, and whether the parent asks it to
// stop. The worker's loop says when one begins and ends; the rest may be called from any thread of the
// task. In a forked child of the worker nobody is asked to stop.

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>

#include <procpool/detail/engine/run.hpp>

#include "channel/worker_end.hpp"
#include "engine/element_context.hpp"

namespace procpool::inline v0::worker {

class WorkerContext final : public ElementContext {
 public:
  explicit WorkerContext(channel::WorkerEnd& channel) noexcept : channel_(channel) {}

  // ---- the worker's loop
  void begin(std::uint64_t serial, std::uint64_t index, std::uint64_t random) noexcept {
    // Relaxed: threads of the task were started by it, after this.
    index_.store(index, std::memory_order_relaxed);
    random_.store(random, std::memory_order_relaxed);
    claim_.store(serial + 1, std::memory_order_relaxed);
  }
  // A run says by itself which of its elements begins.
  void begin_run(std::uint64_t random, detail::Run::Words& words) noexcept {
    random_.store(random, std::memory_order_relaxed);
    words.running = &claim_;
    words.index = &index_;
    words.abandoned = &forked_;
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

 private:
  void pass_requests_on();  // on a thread of its own

  channel::WorkerEnd& channel_;
  std::atomic<std::uint64_t> claim_{0};  // serial + 1; 0: nothing runs
  std::atomic<std::uint64_t> index_{0};
  std::atomic<std::uint64_t> random_{0};
  std::atomic<bool> forked_{false};

  std::mutex mutex_;
  // Guarded by mutex_:
  bool thread_started_ = false;
  std::uint64_t source_claim_ = 0;  // whose source it is
  std::optional<std::stop_source> source_;
};

}  // namespace procpool::inline v0::worker
