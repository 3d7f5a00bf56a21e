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

#include "os/event.hpp"
#include "os/timer.hpp"
#include "parent/admission.hpp"
#include "parent/deadlines.hpp"
#include "parent/idle_policy.hpp"
#include "parent/scheduler.hpp"
#include "parent/slab.hpp"
#include "parent/slot.hpp"
#include "parent/slot_table.hpp"
#include "parent/tally.hpp"

namespace procpool::inline v0::parent {

struct ExitReport;
enum class WorkerStanding : std::uint8_t;

// A worker that has not ended so long after SIGKILL is abandoned.
inline constexpr std::chrono::seconds kill_patience{1};

class Core {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit Core(PoolOptions options);
  ~Core();

  std::optional<std::size_t> queue_limit() const noexcept PROCPOOL_UNCHECKED_LOCKS {
    return admission_.queue_limit();  // never changes
  }

  // ---- calls of the engine
  // append() takes only tasks that this function has made.
  std::shared_ptr<detail::Task> make_task(detail::Function&& function,
                                          detail::TaskOptions&& options);
  // Throws when the pool takes nothing new.
  void check_intake() const;
  void append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input, bool last);
  void seal(detail::Task& task);
  void cancel(std::shared_ptr<detail::Task> const& task);
  // Ends the running elements of a cancelled task. Blocks for some milliseconds, until none of them is
  // undecided. For an element that listens: until it has ended, or ask_grace is over.
  void end_running(detail::Task& task);
  // See Engine::help.
  void help(detail::Task& task);
  // Acts on deadlines that have passed. Returns when to look again.
  std::optional<TimePoint> watch_deadlines(TimePoint now);
  // No memory is kept from now on.
  void close_memory();
  Stats stats() const;
  std::vector<WorkerStats> worker_stats() const;
  // Sets how many workers there shall be. The dispatcher sees to it.
  void resize(std::size_t workers);

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
  void requeue(Chunks chunks);

  void log(std::string_view text) const noexcept;
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
  void note_exit(std::size_t worker, ExitReport const& report, std::string const& text) noexcept;
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
  std::size_t const ring_bytes;  // of each of a worker's two rings
  // Wakes the dispatcher, if it has been started. A dispatcher that is started meanwhile looks at
  // everything under the mutex before its first sleep.
  void wake_dispatcher() const noexcept {
    if (startable.load(std::memory_order_acquire)) wake.notify();
  }
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
  // Of the pool's memory. The dispatcher's thread looks.
  std::shared_ptr<Trimmer> const trimmer;
  std::shared_ptr<BufferPool> const buffer_pool;  // of large arguments
  std::shared_ptr<Slab> const task_slab;          // of tasks
  SlotTable slots;

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
  void count_resolved(detail::Task const& task, std::uint64_t elements) PROCPOOL_REQUIRES(mutex_);
  void mark_for_kill(std::size_t slot, Slot::KillReason kill_reason);
  // An attempt at an element has failed. True: the element will be run again when its time has come.
  bool try_again(Chunk const& failed, bool allowed, std::string const& how);
  // The reason of an element that was ended, with the ends of its earlier attempts.
  static std::exception_ptr after_attempts(Chunk const& element, std::exception_ptr const& timeout);
  bool thrown_is_tried_again(Slot::Item const& item);
  void fail_expired(Chunks const& chunks);
  // Elements of the task from `first` on that have not begun never will.
  void cancel_from(detail::Task& task, std::uint64_t first);
  void stop_after_failure(detail::Task& task, detail::OutcomeBlock const& block);
  void end_element(Chunk const& chunk, std::exception_ptr const& reason, bool cancelled,
                   bool begun = false);
  void count_delivered(std::uint64_t elements);

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
  bool ended_ PROCPOOL_GUARDED_BY(mutex_) = false;    // no worker is left and none will be
  std::size_t live_ PROCPOOL_GUARDED_BY(mutex_) = 0;  // workers starting or ready
  std::size_t starting_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  std::size_t ready_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  // The dispatcher saw no work, and sleeps without an end. New work ends that, so that a worker which
  // does not notify is looked at in time all the same.
  bool deep_sleep_ PROCPOOL_GUARDED_BY(mutex_) = false;
  // Drawn with the first call: a global pool of a fork server is that of many workers.
  std::optional<std::uint64_t> seed_ PROCPOOL_GUARDED_BY(mutex_);
  std::size_t waiting_for_room_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  std::uint64_t calls_ PROCPOOL_GUARDED_BY(mutex_) = 0;  // taken so far
};

template <class Vacant>
std::optional<std::size_t> Core::choose_vacant(std::size_t end, Vacant const& vacant) const {
  std::optional<std::size_t> first;
  detail::Lock const lock(mutex_);
  for (std::size_t worker = 0; worker < end; ++worker) {
    if (!vacant(worker)) continue;
    if (scheduler_.awaited(worker)) return worker;  // something waits for this very worker
    if (!first) first = worker;
  }
  // What waits for a place that its last worker is still leaving has no use for another.
  return scheduler_.waits_for_any() ? first : std::nullopt;
}

}  // namespace procpool::inline v0::parent
