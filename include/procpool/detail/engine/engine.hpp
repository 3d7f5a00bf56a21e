// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The engine interface: an engine takes the bytes of tasks and returns the bytes of their outcomes.
// The public API knows nothing else of how work is done, and an engine knows nothing of types.
//
// Every function may be called from any thread.

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include <procpool/detail/engine/task.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/options.hpp>

namespace procpool::inline v0_1::detail {

class ActorEngine;
struct ActorPlan;

class PROCPOOL_API Engine {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  Engine() = default;
  Engine(Engine const&) = delete;
  Engine& operator=(Engine const&) = delete;
  virtual ~Engine();

  // The ledger's entry for a call, which is then to be given to this engine. If there may be very
  // many, the engine has memory for them.
  virtual std::shared_ptr<Task> make_task(Function&& function, TaskOptions&& options);

  // Accepts a stream before its first element: throws PoolClosed when intake has ended and
  // SetupError when no worker can be had.
  virtual void open_stream(std::shared_ptr<Task> const& task) = 0;

  // Accepts the next elements of a task; `last` seals it. The first append of a task throws as
  // open_stream does; a task once accepted is taken to its end: later appends do not throw, their
  // elements end with the reason instead. But those to a stream throw PoolClosed once the engine is
  // ending: nobody says when a stream would have no more.
  virtual void append(std::shared_ptr<Task> const& task, InputBuffer&& input, bool last) = 0;

  // The number of places that a task gets an element for, one each: element i is for the worker at
  // place i. Before the first append.
  virtual std::size_t begin_on_each_worker(std::shared_ptr<Task> const&) { return 1; }

  // No more elements will come.
  virtual void seal(std::shared_ptr<Task> const& task) = 0;

  // What becomes of an element that is running when its task is cancelled.
  enum class Running { goes_on, is_ended };

  // Seals the task; what has not begun never will and ends with TaskCancelled. Where what runs is
  // to be ended, blocks until that has happened.
  virtual void cancel(std::shared_ptr<Task> const& task, Running running) = 0;

  // The same with what runs, but does not block, and leaves the seal to the owner of the task. What
  // runs is ended soon. Called with no lock that code of the program could wait for; does nothing in
  // a forked child.
  virtual void request_stop(std::shared_ptr<Task> const& task) noexcept = 0;

  // The caller is about to sleep until the task has ended: takes part in the engine's work for some
  // microseconds, where that may end it sooner than a wake-up would tell. Only a matter of speed.
  virtual void help(Task& task) = 0;

  // Ends intake. Does not block.
  virtual void close() = 0;

  // Blocks until everything accepted has ended and, after close(), every worker is gone, or until
  // the deadline; says which.
  virtual bool join_until(std::optional<TimePoint> deadline) = 0;

  // Ends the engine as `end` says; at the deadline what is left is killed. Idempotent, and a
  // stronger end replaces a weaker one.
  virtual Summary shutdown(End end, std::optional<TimePoint> deadline) = 0;

  virtual unsigned size() const noexcept = 0;
  virtual Stats stats() const = 0;
  virtual std::vector<WorkerStats> worker_stats() const = 0;
  // The elements of a task that run at this moment, as far as is known.
  virtual std::vector<RunningElement> running(Task const&) const { return {}; }

  // Sets how many workers there shall be, from 1 to max_workers. Does not block.
  virtual void resize(std::size_t workers) = 0;

  // Starts workers until so many are ready, with work or without, and ends the task, which has one
  // element without a value, when they are or cannot be. Throws as open_stream does. Does not
  // block.
  virtual void start_workers(std::shared_ptr<Task> const& task, std::size_t workers);

  // Nothing begins from now on, until resume(). Blocks until that is so. Throws std::logic_error if
  // this engine cannot.
  virtual void pause();
  virtual void resume() {}

  // Where large arguments are best encoded to; null: it does not matter. Lives as long as the
  // engine.
  virtual MessageMemory* message_memory() noexcept { return nullptr; }

  // How many elements the public API should encode before it hands them over.
  virtual std::size_t input_elements(Task const& task) const = 0;

  // Makes an actor, which ends with this engine at the latest. Throws as open_stream does.
  virtual std::shared_ptr<ActorEngine> make_actor(ActorPlan&& plan);
};

// Checks the options (std::invalid_argument) and makes the engine that they ask for. Starts
// nothing.
PROCPOOL_API std::unique_ptr<Engine> make_engine(PoolOptions const& options);

}  // namespace procpool::inline v0_1::detail
