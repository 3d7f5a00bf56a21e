// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// LocalEngine: runs tasks in worker processes on this machine. A thin layer over the core, which
// the program's threads use directly, and the dispatcher, which owns the workers.
//
// Any thread may call anything. In a forked child of the process that made it, the engine is inert:
// calls throw SetupError, and destruction does nothing.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <procpool/detail/engine/engine.hpp>

namespace procpool::inline v0_1 {

namespace parent {
class Actors;
class Core;
class DedicatedWorker;
class Dispatcher;
}  // namespace parent

class LocalEngine final : public detail::Engine {
 public:
  explicit LocalEngine(PoolOptions const& options);
  // With a slot of its own for each worker, see dedicate().
  enum class Dedicated : std::uint8_t { to_processes, to_actors };
  LocalEngine(PoolOptions const& options, Dedicated);
  // Kills what has not ended.
  ~LocalEngine() override;

  std::shared_ptr<detail::Task> make_task(detail::Function&& function,
                                          detail::TaskOptions&& options) override;
  void open_stream(std::shared_ptr<detail::Task> const& task) override;
  void append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
              bool last) override;
  std::size_t begin_on_each_worker(std::shared_ptr<detail::Task> const& task) override;
  void seal(std::shared_ptr<detail::Task> const& task) override;
  void cancel(std::shared_ptr<detail::Task> const& task, Running running) override;
  void request_stop(std::shared_ptr<detail::Task> const& task) noexcept override;
  void close() override;
  bool join_until(std::optional<TimePoint> deadline) override;
  Summary shutdown(End end, std::optional<TimePoint> deadline) override;
  unsigned size() const noexcept override;
  Stats stats() const override;
  std::vector<WorkerStats> worker_stats() const override;
  std::vector<RunningElement> running(detail::Task const& task) const override;
  void resize(std::size_t workers) override;
  void start_workers(std::shared_ptr<detail::Task> const& task, std::size_t workers) override;
  void pause() override;
  void resume() override;
  void help(detail::Task& task) override;
  detail::MessageMemory* message_memory() noexcept override;
  std::size_t input_elements(detail::Task const& task) const override;
  std::shared_ptr<detail::ActorEngine> make_actor(detail::ActorPlan&& plan) override;

  // Begins the trace that the options ask for. Throws SetupError if it cannot be written. Later, with
  // the first element, that of the environment begins.
  void begin_trace();

  // Elements of the task from `first` on that have not begun never will.
  void cancel_from(detail::Task& task, std::uint64_t first);

  // ---- dedicated workers
  // Gives the worker a slot. Nothing: the engine has ended, since it was not used. The worker starts
  // when its first element comes: one with the slot as its key. Throws SetupError.
  std::optional<std::size_t> dedicate(std::shared_ptr<parent::DedicatedWorker> const& worker);
  // For a slot that no element was given to.
  void release(std::size_t slot);
  void request_stop(parent::DedicatedWorker& worker);
  // For actors.
  parent::Core& core() noexcept { return *core_; }

 private:
  LocalEngine(std::unique_ptr<parent::Core> core);
  // The two halves of shutdown(), of the tasks alone.
  void begin_end(End end, std::optional<TimePoint> deadline);
  Summary wait_for_end();
  void check_process() const;
  void prepare();  // to take elements

  unsigned const forks_;
  std::unique_ptr<parent::Core> core_;
  std::unique_ptr<parent::Dispatcher> dispatcher_;
  std::unique_ptr<parent::Actors> actors_;
};

}  // namespace procpool::inline v0_1
