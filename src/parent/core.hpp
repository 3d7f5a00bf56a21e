#pragma once

// Core: what the threads of a program and the pool's dispatcher share: the scheduler, the slots, and
// the count of what was accepted and what has ended. It moves elements: queue -> worker -> outcome, and
// back to the queue when a worker gave them up.
//
// Any thread may call anything here. `mutex` guards the fields that say so and is never held together
// with a slot's; under it a task's may be taken, which is the last. No user code runs under it.

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <procpool/detail/engine/engine.hpp>
#include <procpool/options.hpp>

#include "os/event.hpp"
#include "os/timer.hpp"
#include "parent/scheduler.hpp"
#include "parent/slab.hpp"
#include "parent/slot.hpp"
#include "parent/slot_table.hpp"

namespace procpool::inline v0::parent {

struct ExitReport;
enum class WorkerStanding : std::uint8_t;

// How far the pool's end has come. Only grows.
enum class Phase : std::uint8_t { open, draining, cancelling, killing };

// A worker that has not ended so long after SIGKILL is given up.
inline constexpr std::chrono::seconds kill_patience{1};

class Core {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit Core(PoolOptions options);
  ~Core();

  std::optional<std::size_t> queue_limit() const noexcept { return queue_limit_; }

  // ---- the engine's calls
  // What append() takes are tasks that this has made.
  std::shared_ptr<detail::Task> make_task(detail::Function function, detail::TaskOptions options);
  // Throws when nothing new is taken.
  void check_intake() const;
  void append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer input, bool last);
  void seal(detail::Task& task);
  void cancel(std::shared_ptr<detail::Task> const& task);
  // Of a cancelled task: what runs is to be ended. Blocks for some milliseconds, until nothing of it is
  // undecided; where it listens, until it has ended or has had ask_grace for it.
  void end_running(detail::Task& task);
  // See Engine::help.
  void help(detail::Task& task);
  // Acts on deadlines that have passed; says when to look again.
  std::optional<TimePoint> watch_deadlines(TimePoint now);
  // Lets go message memory that was not used for a while; says when to look again. The dispatcher's.
  std::optional<TimePoint> trim_memory(TimePoint now);
  // Keeps no memory from now on.
  void close_memory();
  Stats stats() const;
  std::vector<WorkerStats> worker_stats() const;
  // How many workers there shall be; the dispatcher sees to it.
  void resize(std::size_t workers);

  // ---- moving
  // Gives waiting elements to workers that want some. True: some still wait, and there could be more
  // workers.
  bool place();
  // Looks at what a worker has to say: how many outcomes, or blocks of them, it was. Nothing: it wrote
  // what cannot be, and the dispatcher must end it.
  std::optional<std::size_t> collect(std::size_t slot);
  // Moves elements from a busy worker towards an idle one, or out of the way of what is more urgent; true:
  // look again soon.
  bool balance();
  // Takes back all that has not begun, from one worker or from every one.
  void revoke(std::size_t slot);
  void revoke_all();
  // A worker is dead: its outcomes are delivered, what it was charged with ends with `reason`, the rest
  // goes back to the queue.
  void resolve_death(std::size_t slot, Slot::Death death,
                     std::function<std::exception_ptr(Chunk const&)> const& reason);
  // Something has changed for who waits for room in the queue; mutex is held.
  void tell_room() {
    if (waiting_for_room_ != 0) room_.notify_all();
  }
  // Ends elements with this reason, or with TaskCancelled.
  void fail(Chunks const& chunks, std::exception_ptr const& reason);
  void fail_cancelled(Chunks const& chunks);
  void cancel_waiting();
  // What had not begun goes back to the queue, or ends with TaskCancelled where nothing shall begin
  // any more.
  void requeue(Chunks chunks);

  bool drained() const;  // everything accepted has ended and been delivered; mutex is held
  void log(std::string_view text) const noexcept;
  std::string awaited();  // by the end of the pool, for the log

  // ---- the dispatcher's. Each takes the mutex for a moment, unless it says more.
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
  void worker_ready(std::size_t worker, TimePoint now);
  void worker_leaves(std::size_t worker);  // it is given nothing any more
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
  // Tries again to give elements to workers without room, and places what waits.
  void retry();
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
  // Wakes the dispatcher, if it has been started. (If it is started meanwhile, it looks at everything
  // under the mutex before it first sleeps.)
  void wake_dispatcher() const noexcept {
    if (startable.load(std::memory_order_acquire)) wake.ring();
  }
  os::Event wake{os::UniqueFd()};  // made with the dispatcher's thread: a pool that only exists has
                                   // no descriptor
  // As wake_dispatcher(), but soon and not at once: a thread that is woken now would be in the way of the
  // worker that is.
  void wake_dispatcher_soon() const noexcept {
    constexpr std::chrono::milliseconds soon{2};
    if (startable.load(std::memory_order_acquire)) look_timer.arm(soon);
  }
  os::Timer look_timer{os::UniqueFd()};  // made with the thread, as `wake`
  std::atomic<bool> startable{false};
  std::shared_ptr<BufferPool> const buffer_pool;  // of large arguments
  std::shared_ptr<Slab> const task_slab;          // of calls
  SlotTable slots;

  mutable std::mutex mutex;
  std::condition_variable ended_changed;
  // Guarded by mutex:
  std::size_t wanted;  // workers
  Scheduler scheduler;
  Phase phase = Phase::open;
  bool closed = false;                    // intake has ended
  std::optional<TimePoint> end_deadline;  // when draining or cancelling turns into killing
  bool ended = false;                     // no worker is left and none will be
  std::exception_ptr broken;              // set: no worker can be had
  std::size_t cpus = 1;                   // that spinning threads may keep busy, workers included
  std::size_t live = 0;                   // workers starting or ready
  std::size_t starting = 0;
  std::size_t ready = 0;
  bool deep_sleep =
      false;  // the dispatcher saw no work, and sleeps without an end: new work ends that, so that
              // a worker which does not ring is looked at in time all the same
  Summary summary;
  std::uint64_t accepted = 0;   // elements
  std::uint64_t resolved = 0;   // their outcome is known
  std::uint64_t delivered = 0;  // and was delivered
  std::uint64_t timed = 0;      // elements accepted and not resolved whose running time is limited
  std::multimap<TimePoint, std::weak_ptr<SharedInput>> queue_deadlines;
  std::multimap<TimePoint, Chunk> delayed;  // to be run again, but not yet
  std::uint64_t unsealed = 0;  // tasks that more elements may come for, streams not counted
  Stats counted;               // what is counted as it happens: not submitted to done
  std::vector<WorkerStats> per_worker;

 private:
  class Spin;

  bool place(std::unique_lock<std::mutex>& lock);  // takes over the lock of mutex, and releases it

  // These did not go to the worker: back to the queue, but for the one that cannot be sent.
  void not_given(std::size_t worker, Chunks chunks, Slot::Given const& given);

  void check_open() const;  // mutex is held
  // Throws QueueFull, or waits until so many elements of the task, from `first` on, find room in the queue
  // or it makes no sense to wait any longer.
  void await_room(std::unique_lock<std::mutex>& lock, detail::Task const& task, std::uint64_t first,
                  std::uint64_t count);
  std::uint64_t running() const;  // mutex is held
  void note_busy();               // mutex is held
  // How long one more thread may spin: not at all, unless there is a CPU for it; mutex is held.
  std::chrono::microseconds spin_time();
  void note_spin(bool preempted);            // a thread has spun
  bool has_room(std::uint64_t count) const;  // mutex is held
  std::exception_ptr cancellation(detail::Task const& task, char const* what) const noexcept;
  void count_resolved(detail::Task const& task, std::uint64_t elements);  // mutex is held
  void mark_for_kill(std::size_t slot, Slot::KillReason kill_reason);
  // An attempt at an element has failed. True: it will be run again, as soon as its time has come.
  bool try_again(Chunk const& failed, bool allowed, std::string const& how);
  // The reason of an element that was ended, with what became of its earlier attempts.
  static std::exception_ptr after_attempts(Chunk const& element, std::exception_ptr const& timeout);
  bool thrown_is_tried_again(Slot::Item const& item);
  Chunks remove_delayed(std::function<bool(Chunk const&)> const& which);  // mutex is held
  void fail_expired(Chunks const& chunks);
  // What has not begun of the task's elements from `first` on never will.
  void cancel_from(detail::Task& task, std::uint64_t first);
  void stop_after_failure(detail::Task& task, detail::Block const& block);
  void end_element(Chunk const& chunk, std::exception_ptr const& reason, bool cancelled,
                   bool begun = false);
  // True: something waits in the queue.
  bool deliver(Slot::Collected& collected, std::size_t slot);
  bool deliver(std::span<Slot::Item> items, std::size_t slot);
  void count_delivered(std::uint64_t elements);

  // All for threads that spin, and relaxed: only a matter of speed.
  std::atomic<std::size_t> spinning_{0};      // so many of them
  std::atomic<unsigned> preempted_spins_{0};  // the last ones, in a row
  std::atomic<bool> others_busy_{false};      // there are workers at work, as far as was seen last
  std::optional<TimePoint> next_trim_;        // the dispatcher's
  std::optional<std::size_t> const queue_limit_;
  std::condition_variable room_;  // in the queue, or no sense in waiting for it
  // Guarded by mutex:
  std::optional<std::uint64_t>
      seed_;  // drawn with the first call: a global pool of a template process is
              // that of many workers
  std::size_t waiting_for_room_ = 0;
  unsigned spins_left_out_ = 0;  // so many are not worth trying
  std::uint64_t calls_ = 0;      // taken so far
};

template <class Vacant>
std::optional<std::size_t> Core::choose_vacant(std::size_t end, Vacant const& vacant) const {
  std::optional<std::size_t> first;
  std::lock_guard const lock(mutex);
  for (std::size_t worker = 0; worker < end; ++worker) {
    if (!vacant(worker)) continue;
    if (scheduler.awaited(worker)) return worker;  // something waits for this very worker
    if (!first) first = worker;
  }
  // What waits for a place that its last worker is still leaving has no use for another.
  return scheduler.waits_for_any() ? first : std::nullopt;
}

}  // namespace procpool::inline v0::parent
