// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Actors: the actors of a pool. They share one engine, whose slots are dedicated. It begins with the
// first actor and ends with the pool.
// LocalActor: one of them, in a slot of that engine.
//
// Any thread may call anything.

#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include <procpool/detail/engine/actor_engine.hpp>
#include <procpool/detail/engine/mutex.hpp>

#include "parent/local_engine.hpp"

namespace procpool::inline v0_1::parent {

class Core;
class DedicatedWorker;

class Actors {
 public:
  // `pool` outlives this object.
  explicit Actors(Core const& pool) noexcept : pool_(pool) {}

  // Throws PoolClosed if the pool takes no more calls, and SetupError.
  std::shared_ptr<detail::ActorEngine> make(detail::ActorPlan&& plan);
  // Null: there is none, and if the pool was closed, there will be none.
  std::shared_ptr<LocalEngine> engine() const;

 private:
  Core const& pool_;
  mutable detail::Mutex mutex_;
  std::shared_ptr<LocalEngine> engine_ PROCPOOL_GUARDED_BY(mutex_);
};

class LocalActor final : public detail::ActorEngine {
 public:
  LocalActor(std::shared_ptr<LocalEngine> host, std::shared_ptr<DedicatedWorker> worker,
             std::size_t slot);
  // Kills what has not ended.
  ~LocalActor() override;

  std::shared_ptr<detail::Task> make_task(detail::Function&& function,
                                          detail::TaskOptions&& options) override;
  void open_stream(std::shared_ptr<detail::Task> const& task) override;
  void append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
              bool last) override;
  void seal(std::shared_ptr<detail::Task> const& task) override;
  void cancel(std::shared_ptr<detail::Task> const& task, Running running) override;
  void request_stop(std::shared_ptr<detail::Task> const& task) noexcept override;
  void close() override;
  bool join_until(std::optional<TimePoint> deadline) override;
  Summary shutdown(End end, std::optional<TimePoint> deadline) override;
  unsigned size() const noexcept override { return 1; }
  Stats stats() const override;
  std::vector<RunningElement> running(detail::Task const& task) const override;
  std::vector<WorkerStats> worker_stats() const override { return {}; }
  void resize(std::size_t) override {}
  void help(detail::Task& task) override;
  detail::MessageMemory* message_memory() noexcept override;
  std::size_t input_elements(detail::Task const&) const override { return 1; }

  std::optional<Key> key() const override { return slot_; }
  pid_t pid() override;
  unsigned incarnation() const override;
  std::size_t pending() const override;

 private:
  unsigned const forks_;
  std::shared_ptr<LocalEngine> host_;
  std::shared_ptr<DedicatedWorker> worker_;
  std::size_t const slot_;
};

}  // namespace procpool::inline v0_1::parent
