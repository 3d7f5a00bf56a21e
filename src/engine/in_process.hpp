// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The engine of Start::in_process. append() runs each element at once, in the calling thread,
// through the same trampolines and the same bytes as a worker. Nothing is isolated: a crash of a
// task is a crash of the program, and a debugger sees it.
//
// Any thread may call anything. Tasks of several threads run side by side.

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/engine/mutex.hpp>

#include "engine/call_seeds.hpp"

namespace procpool::inline v0_1 {

class InProcessEngine final : public detail::Engine {
 public:
  // What the engine takes no more.
  struct Intake {
    std::atomic<bool> closed{false};  // calls
    std::atomic<bool> ending{false};  // further inputs of streams
    std::atomic<bool> ended{false};   // by cancel or kill: further elements do not run
  };
  explicit InProcessEngine(PoolOptions options, std::string closed_text =
                                                    "this pool takes no more tasks: it was closed");

  void open_stream(std::shared_ptr<detail::Task> const& task) override;
  void append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
              bool last) override;
  void seal(std::shared_ptr<detail::Task> const& task) override { task->seal(); }
  void cancel(std::shared_ptr<detail::Task> const& task, Running running) override;
  void request_stop(std::shared_ptr<detail::Task> const& task) noexcept override;
  void close() override;
  bool join_until(std::optional<TimePoint> deadline) override;
  Summary shutdown(End end, std::optional<TimePoint> deadline) override;
  unsigned size() const noexcept override { return 1; }
  Stats stats() const override;
  std::vector<WorkerStats> worker_stats() const override { return {}; }
  void help(detail::Task&) override {}  // nothing is left to do when append() returns
  void resize(std::size_t) override {}  // there are no workers
  void start_workers(std::shared_ptr<detail::Task> const& task, std::size_t workers) override;
  std::size_t input_elements(detail::Task const& task) const override;
  std::shared_ptr<detail::ActorEngine> make_actor(detail::ActorPlan&& plan) override;

 private:
  // Makes the call of StartOptions::preload, once. Returns its error.
  std::exception_ptr preload();

  PoolOptions const options_;
  std::string const closed_text_;
  std::shared_ptr<Intake> const intake_ = std::make_shared<Intake>();  // actors look at it too
  mutable detail::Mutex mutex_;
  Stats stats_ PROCPOOL_GUARDED_BY(mutex_);
  std::uint64_t cancelled_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  CallSeeds seeds_ PROCPOOL_GUARDED_BY(mutex_);
  std::once_flag preload_called_;
  std::exception_ptr preload_error_;                  // known once the flag is set
  std::atomic<std::thread::id> preloading_thread_{};  // the call may use this pool
};

}  // namespace procpool::inline v0_1
