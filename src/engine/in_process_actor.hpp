// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// InProcessActor: an actor of a pool with Start::in_process. Its object lives in the program, and
// append() runs each call in the calling thread, one thread at a time.
//
// Any thread may call anything. A call from inside of a call of the same actor throws SetupError,
// because it would wait for itself.

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <procpool/detail/call/actor_object.hpp>
#include <procpool/detail/engine/actor_engine.hpp>
#include <procpool/detail/engine/mutex.hpp>

#include "engine/in_process.hpp"

namespace procpool::inline v0_1 {

class InProcessActor final : public detail::ActorEngine {
 public:
  // Makes the object. An exception of its constructor becomes the outcome of every call.
  InProcessActor(PoolOptions const& options, std::shared_ptr<InProcessEngine::Intake const> pool,
                 detail::ActorPlan&& plan);

  void open_stream(std::shared_ptr<detail::Task> const& task) override { calls_.open_stream(task); }
  void append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
              bool last) override;
  void seal(std::shared_ptr<detail::Task> const& task) override { calls_.seal(task); }
  void cancel(std::shared_ptr<detail::Task> const& task, Running running) override {
    calls_.cancel(task, running);
  }
  void request_stop(std::shared_ptr<detail::Task> const& task) noexcept override {
    calls_.request_stop(task);
  }
  void close() override { calls_.close(); }
  bool join_until(std::optional<TimePoint> deadline) override;
  Summary shutdown(End end, std::optional<TimePoint> deadline) override;
  unsigned size() const noexcept override { return 1; }
  Stats stats() const override { return calls_.stats(); }
  std::vector<WorkerStats> worker_stats() const override { return {}; }
  void help(detail::Task&) override {}
  void resize(std::size_t) override {}
  std::size_t input_elements(detail::Task const&) const override { return 1; }

  std::optional<Key> key() const override { return std::nullopt; }
  pid_t pid() override;
  unsigned incarnation() const override { return 1; }
  std::size_t pending() const override { return calls_.stats().running; }

 private:
  void drop_object();

  std::string const text_;  // the beginning of refusals
  std::shared_ptr<InProcessEngine::Intake const> const pool_;
  InProcessEngine calls_;
  std::atomic<std::thread::id> caller_{};  // the thread whose call runs
  detail::Mutex mutex_;
  detail::ActorObject object_ PROCPOOL_GUARDED_BY(mutex_);
  std::optional<detail::OutcomeBlock> failure_;  // of the constructor; the outcome of every call
};

}  // namespace procpool::inline v0_1
