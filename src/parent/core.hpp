// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Core: moves elements, from the queue to a worker, from there to their task, and back to the queue if
// a worker gave them up. The threads of a program and the pool's dispatcher share it. Its parts decide,
// each without a lock of its own: Admission what comes in, Scheduler what goes where, Deadlines what
// time does, IdlePolicy how to wait. Its slots have the workers.
//
// Any thread may call anything here. The mutex is never held together with the mutex of a slot; under
// it the mutex of a task may be taken, which is the last. No user code runs under it.

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <procpool/detail/engine/engine.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/options.hpp>

#include "engine/call_seeds.hpp"
#include "engine/fork_detection.hpp"
#include "engine/patience.hpp"
#include "os/event.hpp"
#include "os/text.hpp"
#include "os/timer.hpp"
#include "parent/admission.hpp"
#include "parent/deadlines.hpp"
#include "parent/dedicated_slots.hpp"
#include "parent/idle_policy.hpp"
#include "parent/place_environments.hpp"
#include "parent/scheduler.hpp"
#include "parent/slab.hpp"
#include "parent/slot.hpp"
#include "parent/slot_table.hpp"
#include "parent/start_requests.hpp"
#include "parent/tally.hpp"
#include "parent/trace.hpp"

namespace procpool::inline v0_1::parent {

struct ExitReport;
enum class WorkerStanding : std::uint8_t;

// A worker that has not ended so long after SIGKILL is abandoned.
inline constexpr std::chrono::seconds kill_patience{1};

// A pool whose slots nobody uses any more ends after this time.
inline constexpr std::chrono::seconds unused_time{1};

class Core {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // The elements that a slot gets.
  enum class Slots : std::uint8_t {
    shared,        // those of any call
    of_processes,  // those of the owner of its DedicatedWorker, whose calls have the slot as their key
    of_actors      // the same, and each worker starts before its first element
  };
  explicit Core(PoolOptions options, Slots kind = Slots::shared);
  ~Core();

  std::optional<std::size_t> queue_limit() const noexcept PROCPOOL_UNCHECKED_LOCKS {
    return admission_.queue_limit();  // never changes
  }

  // Begins the trace that the options or PROCPOOL_TRACE ask for, once; only that of the options if
  // `given` is set. Throws SetupError for that of the options, and returns a line for the log if the
  // other one cannot be had. Before another thread uses the pool, or for the dispatcher's start.
  std::optional<std::string> begin_trace(bool given = false);

  // ---- calls of the engine
  // append() takes only tasks that this function has made.
  std::shared_ptr<detail::Task> make_task(detail::Function&& function,
                                          detail::TaskOptions&& options);
  // Throws when the pool takes nothing new.
  void check_intake() const;
  void append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input, bool last);
  void seal(detail::Task& task);
  void cancel(std::shared_ptr<detail::Task> const& task);
  // Elements of the task from `first` on that have not begun never will.
  void cancel_from(detail::Task& task, std::uint64_t first);
  // Ends the running elements of a cancelled task. Blocks for some milliseconds, until none of them is
  // undecided. For an element that listens: until it has ended, or ask_grace is over.
  void end_running(detail::Task& task);
  // See Engine::request_stop. The dispatcher acts on it.
  void request_stop(std::shared_ptr<detail::Task> const& task) noexcept;
  // See Engine::help.
  void help(detail::Task& task);
  // Ends the tasks that were asked to stop. Returns when to look again. For the dispatcher.
  std::optional<TimePoint> watch_stops(TimePoint now);
  // Acts on deadlines that have passed. Returns when to look again.
  std::optional<TimePoint> watch_deadlines(TimePoint now);
  // No memory is kept from now on.
  void close_memory();
  Stats stats() const;
  std::vector<WorkerStats> worker_stats() const;
  // What workers run at this moment of the task; null: of any task.
  std::vector<RunningElement> running_elements(detail::Task const* task) const;
  // Sets how many workers there shall be. The dispatcher sees to it. Calls the program's code, see
  // PlaceEnvironments.
  void resize(std::size_t workers);
  // The same for so many of them at once, work or not. Ends the task when they are ready, or will not
  // be. Throws when the pool takes nothing new.
  void start_workers(std::shared_ptr<detail::Task> const& task, std::size_t workers);
  // See Engine::begin_on_each_worker.
  std::size_t begin_on_each_worker(std::shared_ptr<detail::Task> const& task);
  // Nothing begins from now on, and workers return what they have not begun. Blocks until no thread
  // has a chunk on its way. Without effect if the pool is ending: that resumes it.
  void pause();
  void resume();

  // ---- dedicated slots
  bool slots_are_dedicated() const noexcept { return slots_are != Slots::shared; }
  // Gives the worker a slot, in which it starts: an actor's at once, another one when an element
  // waits for it. Nothing: the pool is ending. Throws SetupError when there are too many.
  std::optional<std::size_t> dedicate(std::shared_ptr<DedicatedWorker> const& worker);
  // The slot is free for another worker. Nothing waits for it, and no process is there.
  void release(std::size_t slot);
  // Null: the slots are shared.
  std::shared_ptr<DedicatedWorker> dedicated_worker(std::size_t slot) const;
  std::size_t dedicated_workers() const;
  // No worker will come any more. What waits for this slot ends, for the reason that is made.
  void fail_waiting_for(std::size_t slot,
                        std::function<std::exception_ptr(Chunk const&)> const& reason);

  // ---- actors, by the owner
  // The actor takes no more calls.
  void close_actor(std::size_t slot);
  // Closes it, and ends it as the pool ends in that phase, and no later than `deadline`.
  void begin_actor_end(std::size_t slot, Phase phase, std::optional<TimePoint> deadline);
  // Elements that have not ended.
  std::uint64_t pending(std::size_t slot) const;
  Summary actor_summary(std::size_t slot) const;

  // ---- actors, by the dispatcher
  // Null: the slot has no actor, or no process of it will follow.
  std::shared_ptr<DedicatedWorker> living_actor(std::size_t slot) const;
  struct ActorEnd {
    Phase phase = Phase::open;
    bool drained = false;  // it was made, and none of its elements is left
    std::optional<TimePoint> deadline{};
  };
  ActorEnd advance_actor_end(std::size_t slot, TimePoint now);
  // The object was made, or will not be made.
  void actor_made(std::size_t slot);
  // The process has died. True: another one follows. `used`: restarts so far.
  bool restart_actor(std::size_t slot, std::size_t used);
  // No other process follows. This is the outcome of what waits, and of every later call.
  void end_actor(std::size_t slot, detail::OutcomeBlock outcome);

  // ---- moving
  // Gives waiting elements to workers that want some. True: elements still wait, and there could be
  // more workers.
  bool place();
  // Collects what a worker has to say. Returns the number of outcomes, or of blocks of them. Nothing:
  // the worker wrote what cannot be, and the dispatcher must kill it.
  std::optional<std::size_t> collect(std::size_t slot);
  // Moves elements from a busy worker towards an idle one, or out of the way of more urgent ones. True:
  // look again soon.
  bool balance();
  // Revokes everything that has not begun, from one worker or from all.
  void revoke(std::size_t slot);
  void revoke_all();
  // A worker is dead. Its outcomes are delivered, the elements attributed to its death end with
  // `reason`, the others go back to the queue.
  void resolve_death(std::size_t slot, Slot::Death death,
                     std::function<std::exception_ptr(Chunk const&)> const& reason);
  // These end elements with this reason, or with TaskCancelled.
  void fail(Chunks const& chunks, std::exception_ptr const& reason);
  void fail_cancelled(Chunks const& chunks);
  void cancel_waiting();
  // Elements that had not begun go back to the queue, or end if they may not begin any more.
  // `worker`: gave them back. Nothing: they come from elsewhere.
  void requeue(Chunks chunks, std::optional<std::size_t> worker = {});

  void log(std::string_view text) const noexcept;
  // Tells PoolOptions::on_event, which runs elsewhere, and the trace. `fill(event)` completes the event.
  // It runs only if somebody listens, and needs no lock.
  template <class Fill>
  void tell(EventKind kind, Fill const& fill) const noexcept;
  // Tells what a task has logged, or logs it.
  void tell_line(std::size_t worker, std::string const& owner,
                 Slot::LogLine const& line) const noexcept;
  // Whose the task is, for a text: pool "jobs", process "reader", actor "jobs/Counter".
  std::string owner_text(detail::Task const& task) const;
  std::string awaited();  // what the end of the pool waits for, for the log

  // ---- the dispatcher's
  std::size_t wanted_workers() const;
  // A worker that starts now would have something to do.
  bool wants_worker() const;
  // The place below `end`, and `vacant`, at which a worker is needed most. `vacant` must not block.
  template <class Vacant>
  std::optional<std::size_t> choose_vacant(std::size_t end, Vacant const& vacant) const;
  // One worker counts in another way from now on.
  void recount(WorkerStanding before, WorkerStanding after);
  void note_cpus();
  void note_start(std::size_t worker, pid_t pid);
  void worker_ready(std::size_t worker, TimePoint now);  // it takes elements from now on
  void worker_leaves(std::size_t worker);                // it is given nothing any more
  // `hopeless`: null, or the error of the pool unless a worker is ready. Ends or places what waits. False:
  // this failure needs no line in the log.
  bool start_failed(std::exception_ptr const& hopeless) noexcept;
  // True: the pool had not asked for the end of the worker.
  bool note_exit(std::size_t worker, ExitReport const& report, std::string const& text) noexcept;
  // Replaces the begin of what note_exit() noted last, if it is `from`.
  void amend_last_end(std::size_t worker, std::string_view from, std::string_view to);
  void count_forced();  // a process that had to be killed at its end
  bool spent(std::size_t worker) const;
  std::optional<TimePoint> idle_since(std::size_t worker) const;
  std::uint64_t held(std::size_t worker) const;  // elements
  bool is_killing() const;
  struct Sleep {
    bool deep = false;  // no work is in sight; new work wakes the dispatcher
    std::optional<TimePoint> end_deadline{};
  };
  Sleep prepare_sleep();
  struct EndState {
    Phase phase = Phase::open;
    bool drained = false;
    bool delivered = false;
  };
  EndState advance_end(TimePoint now);
  void set_ended();

  // ---- the end of the pool, as the engine asks for it
  void close();
  // Closes, and ends no later than `deadline`.
  void begin_end(Phase end, std::optional<TimePoint> deadline);
  // False: it has not ended by then. `running`: there is a dispatcher.
  bool wait_for_end(bool running, std::optional<TimePoint> deadline);
  Summary end_summary() const;

  PoolOptions const options;
  std::string const name;
  // Somebody debugs workers (PROCPOOL_WAIT_FOR_DEBUGGER is set): no time limit ends one.
  bool const debugged;
  Slots const slots_are;
  std::size_t const ring_bytes;  // of each of a worker's two rings
  // Wakes the dispatcher, if it has been started. A dispatcher that is started meanwhile looks at
  // everything under the mutex before its first sleep.
  void wake_dispatcher() const noexcept {
    if (startable.load(std::memory_order_acquire) && !wake.notify()) check_open(wake.fd());
  }
  // Aborts the program if it has closed this descriptor of the pool. The numbers may be files of the
  // program by now, and each further use of them could damage one.
  void check_open(int fd) const noexcept;
  os::Event wake{os::UniqueFd()};  // made with the dispatcher's thread: a pool that only exists has
                                   // no descriptor
  // As wake_dispatcher(), but soon and not at once: a thread that is woken now would be in the way of
  // the worker that is woken now.
  void wake_dispatcher_soon(
      std::chrono::microseconds soon = std::chrono::milliseconds(2)) const noexcept {
    if (startable.load(std::memory_order_acquire)) look_timer.arm(soon);
  }
  os::Timer look_timer{os::UniqueFd()};  // made with the thread, like `wake`
  std::atomic<bool> startable{false};
  unsigned const forks = fork_count();
  // Of the pool's memory. The dispatcher's thread looks.
  std::shared_ptr<Trimmer> const trimmer;
  std::shared_ptr<BufferPool> const buffer_pool;  // of large arguments
  std::shared_ptr<Slab> const task_slab;          // of tasks
  SlotTable slots;
  PlaceEnvironments place_environments;

 private:
  class Spin;

  // Chunks that a thread carries to a worker.
  struct Move {
    Scheduler::Group group;
    std::chrono::microseconds spin{};  // of the worker, behind them
    bool was_deep_sleep = false;
    bool last = false;              // nothing else waits
    bool short_of_workers = false;  // elements wait, and there could be more workers
  };
  // Fills a move, which is empty. False: there is nothing to carry.
  bool next_move(Move& move, Scheduler::Coalescing coalescing = Scheduler::Coalescing::goes)
      PROCPOOL_REQUIRES(mutex_);
  // Carries out this move, and all that come behind it. As place().
  bool carry_out(Move& move);
  // The chunks of a move, whose worker was not put all of them or has some that are not wanted any more.
  void settle(Scheduler::Group& group, Slot::PutReport put);
  // Acts on what an operation on a slot has brought. True: elements wait, and a worker may take them.
  bool apply(std::size_t slot, Slot::Report&& report);
  // The same for what was collected, and places elements. As collect().
  std::optional<std::size_t> apply_collected(std::size_t slot, Slot::Report&& report);

  void set_size(std::size_t workers) PROCPOOL_REQUIRES(mutex_);
  // Workers that shall be there without work.
  std::size_t requested_workers() const PROCPOOL_REQUIRES(mutex_) {
    return start_requests_.workers(wanted_);
  }
  // Those that have their workers. Their end is told without the mutex.
  StartRequests::List take_met_requests() PROCPOOL_REQUIRES(mutex_);
  static void end_requests(StartRequests::List const& ended, std::exception_ptr const& error);
  void cancel_requests(StartRequests::List const& ended, char const* what) const;
  // The time at which the pool ends because nobody uses its slots.
  std::optional<TimePoint> unused_end() const PROCPOOL_REQUIRES(mutex_);
  // Everything that was accepted has ended and was delivered.
  bool drained() const PROCPOOL_REQUIRES(mutex_) {
    // seq_cst: see count_delivered().
    return admission_.drained(delivered_.load(std::memory_order_seq_cst));
  }
  // Wakes the threads that wait for room in the queue.
  void tell_room() PROCPOOL_REQUIRES(mutex_) {
    if (waiting_for_room_ != 0) room_.notify_all();
  }
  // Throws QueueFull, or waits until so many elements of the task, from `first` on, find room in the
  // queue, or until it makes no sense to wait any longer.
  void await_room(detail::Lock& lock, detail::Task const& task, std::uint64_t first,
                  std::uint64_t count) PROCPOOL_REQUIRES(mutex_);
  // Elements that workers run: a busy worker has at least one that is not resolved.
  std::uint64_t running() const PROCPOOL_REQUIRES(mutex_) { return scheduler_.busy_workers(); }
  std::exception_ptr cancellation(detail::Task const& task, char const* what) const noexcept;
  void count_resolved(detail::Task const& task, std::uint64_t elements, bool cancelled = false)
      PROCPOOL_REQUIRES(mutex_);
  // The slot that the task belongs to, by its key. Null: the slots are shared.
  Tenancy* tenancy(detail::Task const& task) PROCPOOL_REQUIRES(mutex_) {
    return slots_are_dedicated() ? &dedicated_[task.key()->value()] : nullptr;
  }
  // Throws the reason why this call is not taken.
  void check_call(detail::Task const& task) PROCPOOL_REQUIRES(mutex_);
  // The outcome of every element of the task, because no worker can be had. Null: one can be had.
  std::shared_ptr<detail::OutcomeBlock const> hopeless_outcome(detail::Task const& task)
      PROCPOOL_REQUIRES(mutex_);
  bool has_room(detail::Task const& task, std::uint64_t count) PROCPOOL_REQUIRES(mutex_);
  // Workers that are neither there nor starting.
  std::size_t missing_workers() const PROCPOOL_REQUIRES(mutex_);
  void mark_for_kill(std::size_t slot, Slot::KillReason kill_reason);
  // One look at what runs of a cancelled task. Before `force` an element that listens is only asked.
  // False: no worker has anything of the task.
  bool end_running_now(detail::Task& task, TimePoint now, TimePoint force);
  // An attempt at an element has failed, in this worker. True: the element will be run again when its
  // time has come.
  bool try_again(Chunk const& failed, bool allowed, std::string const& how, int worker);
  void tell_timeout(Chunk const& chunk, int worker, std::string const& how) const noexcept;
  // The reason of an element that was ended, with the ends of its earlier attempts.
  static std::exception_ptr after_attempts(Chunk const& element, std::exception_ptr const& timeout);
  bool thrown_is_tried_again(Slot::Item const& item);
  void fail_expired(Chunk const& chunk);
  void stop_after_failure(detail::Task& task, detail::OutcomeBlock const& block);
  void end_element(Chunk const& chunk, std::exception_ptr const& reason, bool cancelled);
  void end_element(Chunk const& chunk, detail::OutcomeBlock block);
  void count_delivered(std::uint64_t elements);
  // Null: there is none. Acquire: another thread may just have begun it.
  Trace* trace() const noexcept { return trace_.load(std::memory_order_acquire); }
  void trace_outcomes(Trace& trace, std::size_t slot, Slot::Report& report, TimePoint now);

  // A task that was asked to stop, and has not ended.
  struct Stop {
    std::shared_ptr<detail::Task> task;
    TimePoint force{};  // an element that listens is ended from then on
  };
  std::vector<Stop> stops_;  // the dispatcher's alone

  std::unique_ptr<Trace> own_trace_;  // behind trace_
  std::atomic<Trace*> trace_{nullptr};
  std::atomic<std::uint64_t> delivered_{0};  // elements whose outcome has reached their task
  std::atomic<bool> ending_{false};          // the phase is not `open`
  IdlePolicy idle_policy_;

  mutable detail::Mutex mutex_{detail::Mutex::Adaptive{}};
  detail::Condition ended_changed_;
  detail::Condition room_;                          // in the queue, or no sense in waiting for it
  std::size_t wanted_ PROCPOOL_GUARDED_BY(mutex_);  // workers
  Scheduler scheduler_ PROCPOOL_GUARDED_BY(mutex_);
  Admission admission_ PROCPOOL_GUARDED_BY(mutex_);
  Deadlines deadlines_ PROCPOOL_GUARDED_BY(mutex_);
  Tally tally_ PROCPOOL_GUARDED_BY(mutex_);
  DedicatedSlots dedicated_ PROCPOOL_GUARDED_BY(mutex_);
  StartRequests start_requests_ PROCPOOL_GUARDED_BY(mutex_);
  TimePoint requests_met_ PROCPOOL_GUARDED_BY(mutex_){};  // when the last of them was taken out
  bool ended_ PROCPOOL_GUARDED_BY(mutex_) = false;        // no worker is left and none will be
  std::size_t live_ PROCPOOL_GUARDED_BY(mutex_) = 0;      // workers starting or ready
  std::size_t starting_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  std::size_t ready_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  // The dispatcher saw no work, and sleeps without an end. New work ends that, so that a worker which
  // does not notify is looked at in time all the same.
  bool deep_sleep_ PROCPOOL_GUARDED_BY(mutex_) = false;
  CallSeeds seeds_ PROCPOOL_GUARDED_BY(mutex_);
  std::size_t waiting_for_room_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  // The dispatcher has not seen these yet.
  std::vector<std::shared_ptr<detail::Task>> stop_requests_ PROCPOOL_GUARDED_BY(mutex_);
  // Tasks with an element for each place, as far as they exist.
  std::vector<std::weak_ptr<detail::Task>> on_each_worker_ PROCPOOL_GUARDED_BY(mutex_);
};

template <class Fill>
void Core::tell(EventKind kind, Fill const& fill) const noexcept {
  Trace* const trace = this->trace();
  if (!options.on_event && trace == nullptr) return;
  detail::if_possible([&] {
    Event event;
    event.kind = kind;
    event.time = std::chrono::system_clock::now();
    event.pool = name;
    fill(event);
    event.text = os::one_line(event.text);
    if (trace != nullptr) trace->event(event);
    if (options.on_event) options.on_event(event);
  });
}

template <class Vacant>
std::optional<std::size_t> Core::choose_vacant(std::size_t end, Vacant const& vacant) const {
  std::optional<std::size_t> first;
  detail::Lock const lock(mutex_);
  for (std::size_t worker = 0; worker < end; ++worker) {
    if (!vacant(worker)) continue;
    if (slots_are == Slots::of_actors) {
      if (dedicated_.lives(worker)) return worker;
      continue;
    }
    if (scheduler_.awaited(worker)) return worker;  // something waits for this very worker
    if (!first) first = worker;
  }
  // What waits for a place that its last worker is still leaving has no use for another.
  return scheduler_.waits_for_any() || live_ < requested_workers() ? first : std::nullopt;
}

}  // namespace procpool::inline v0_1::parent
