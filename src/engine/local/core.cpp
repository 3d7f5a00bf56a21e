#include "engine/local/core.hpp"

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <limits>
#include <ranges>
#include <utility>

#include <procpool/detail/deadline.hpp>
#include <procpool/errors.hpp>

#include "engine/element_context.hpp"
#include "engine/local/call.hpp"
#include "engine/local/worker_environment.hpp"
#include "engine/patience.hpp"
#include "os/adaptive.hpp"
#include "os/spin.hpp"
#include "os/text.hpp"

namespace procpool::inline v0::local {

using detail::Block;

namespace {

// The larger the rings, the fewer wake-ups where elements are short; but their memory is reserved, and
// takes its time to make.
std::size_t ring_bytes_for(std::size_t workers) {
  constexpr std::size_t few = 16;
  return (workers <= few ? 256 : 64) * std::size_t{1024};
}

}  // namespace

Core::Core(PoolOptions given)
    : options(std::move(given)),
      name(options.name),
      ring_bytes(ring_bytes_for(worker_count(options))),
      arena(std::make_shared<Arena>(options.confine, [this] { wake_dispatcher(); })),
      task_memory(std::make_shared<BlockMemory>([trimmed = arena] { trimmed->expect_trim(); })),
      wanted(worker_count(options)),
      scheduler(wanted,
                options.max_tasks_per_worker ? options.max_tasks_per_worker->checked(
                                                   "max_tasks_per_worker", most_tasks_per_worker)
                                             : std::numeric_limits<std::uint64_t>::max(),
                channel::inline_limit(ring_bytes)),
      queue_limit_(options.queue_limit ? std::optional(options.queue_limit->checked(
                                             "queue_limit", most_queue_limit))
                                       : std::nullopt),
      seed_(options.seed) {
  os::make_adaptive(mutex);
  resize(wanted);
}

// What is still referred to may outlive us.
Core::~Core() { close_memory(); }

void Core::close_memory() {
  arena->close();
  task_memory->close();
}

void Core::resize(std::size_t workers) {
  std::lock_guard const lock(mutex);
  slots.grow(workers, arena);
  scheduler.resize(workers);
  for (std::size_t i = per_worker.size(); i < workers; ++i) {
    per_worker.emplace_back().index = static_cast<unsigned>(i);
  }
  wanted = workers;
}

// ---- the engine's calls

void Core::check_open() const {
  if (broken) std::rethrow_exception(broken);
  if (closed) throw PoolClosed("pool \"" + name + "\" takes no more tasks: it was closed");
}

void Core::check_intake() const {
  std::lock_guard const lock(mutex);
  check_open();
}

std::shared_ptr<detail::Task> Core::make_task(detail::Function function,
                                              detail::TaskOptions of_call) {
  return std::allocate_shared<Call>(BlockAllocator<Call>(*task_memory), std::move(function),
                                    std::move(of_call));
}

void Core::append(std::shared_ptr<detail::Task> const& task, detail::Segment segment, bool last) {
  std::uint64_t const count = segment.count;
  Chunk chunk{task, nullptr, segment.first, count};
  bool const first = segment.first == 0;
  if (first && last && segment.bytes.size() <= Call::most_bytes) {
    chunk.batch = Call::own_batch(task, std::move(segment));
  } else {
    chunk.batch = std::make_shared<Batch>(std::move(segment), task->function().argument_size);
  }
  std::exception_ptr refused;
  Chunks cancelled;
  bool short_of_workers = false;
  bool urgent = false;
  {
    std::unique_lock lock(mutex);
    if (task->stream()) {
      if (phase >= Phase::draining) {
        throw PoolClosed("pool \"" + name + "\" is ending: this stream gets no more elements");
      }
    } else {
      if (first) check_open();
      if (queue_limit_) {
        await_room(lock, *task, chunk.first, count);
        if (first) check_open();  // it may have been closed meanwhile
      }
    }
    if (first) {
      if (!seed_) seed_ = random_seed();
      auto const stream = task->random_name();
      task->set_random(stream ? random_of_name(*seed_, *stream) : random_of_call(*seed_, calls_++));
    }
    // What may find no memory comes first: nothing is counted that is not in somebody's hands.
    if (auto const wait = task->queue_timeout()) {
      queue_deadlines.emplace(detail::later(std::chrono::steady_clock::now(), *wait), chunk.batch);
    }
    if (broken) {
      refused = broken;
    } else if (phase >= Phase::cancelling) {
      cancelled.push_back(std::move(chunk));
    } else {
      // A call may be cancelled, or stopped by a failure, while later elements of it still come.
      if (Chunk unwanted = chunk.take_from(task->cancelled_from()); unwanted.count != 0) {
        cancelled.push_back(std::move(unwanted));
      }
      if (chunk.count != 0) scheduler.add(std::move(chunk));
    }
    accepted += count;
    if (first && !task->stream()) ++unsealed;
    // It cannot be complete by that: these elements have not ended.
    if (task->announce(count, last) && !task->stream()) --unsealed;
    if (task->timeout()) timed += count;
    // From here on it is the pool's, and whoever submits hears of no error any more.
    if (!refused && phase < Phase::cancelling) {
      urgent = scheduler.outranks(task->priority());
      // Where the queue is limited, what is held back would keep others out.
      bool const held_back = !queue_limit_ && scheduler.patient();
      if (cancelled.empty() && !held_back) short_of_workers = place(lock);
    }
  }
  if (refused) {
    end_element(chunk, refused, false);
    return;
  }
  if (!cancelled.empty()) {
    fail_cancelled(cancelled);
    short_of_workers = place();
  }
  if (urgent) balance();
  bool const new_time = task->timeout() || task->queue_timeout();  // to look at
  if (short_of_workers || new_time) wake_dispatcher();
}

void Core::cancel(std::shared_ptr<detail::Task> const& task) {
  cancel_from(*task, 0);
  seal(*task);
  place();
}

void Core::cancel_from(detail::Task& task, std::uint64_t first) {
  if (!task.cancel_from(first)) return;
  Chunks waiting;
  Chunks off;
  {
    std::lock_guard const lock(mutex);
    waiting = scheduler.remove(task, first);
    tell_room();
    off = remove_put_off(
        [&](Chunk const& chunk) { return chunk.task.get() == &task && chunk.first >= first; });
  }
  fail_cancelled(off);
  fail_cancelled(waiting);
  // What workers hold of it ahead; the rest comes back to the queue's front in its old order.
  take_back_everything();
}

void Core::count_resolved(detail::Task const& task, std::uint64_t elements) {
  resolved += elements;
  if (task.timeout()) timed -= elements;
}

void Core::seal(detail::Task& task) {
  if (!task.seal()) return;
  std::lock_guard const lock(mutex);
  if (!task.stream()) --unsealed;
  if (phase != Phase::open && drained()) wake_dispatcher();
}

Stats Core::stats() const {
  std::lock_guard const lock(mutex);
  Stats stats = counted;
  stats.submitted = accepted;
  stats.done = resolved;
  stats.running = running();
  stats.queued = accepted - resolved - stats.running;
  stats.workers = static_cast<unsigned>(ready);
  return stats;
}

std::vector<WorkerStats> Core::worker_stats() const {
  std::lock_guard const lock(mutex);
  return per_worker;
}

// ---- the queue's limit

std::uint64_t Core::running() const {
  return std::min(scheduler.busy_workers(), accepted - resolved);
}

bool Core::has_room(std::uint64_t count) const {
  std::uint64_t const queued = accepted - resolved - running();
  return queued == 0 || queued + count <= *queue_limit_;
}

void Core::await_room(std::unique_lock<std::mutex>& lock, detail::Task const& task,
                      std::uint64_t first, std::uint64_t count) {
  if (has_room(count)) return;
  if (first == 0 && task.when_full() == WhenFull::refuse) {
    throw QueueFull("pool \"" + name + "\" takes no more tasks now: its queue_limit of " +
                    std::to_string(*queue_limit_) + " is reached");
  }
  ++waiting_for_room_;
  room_.wait(lock, [&] {
    bool const senseless = broken || phase >= Phase::cancelling || (first == 0 && closed) ||
                           task.cancelled_from() <= first;
    return senseless || has_room(count);
  });
  --waiting_for_room_;
}

// ---- spinning

std::chrono::microseconds Core::spin_time() {
  // Longer than a wake-up takes, or not at all.
  constexpr std::chrono::microseconds long_enough{50};
  if (spins_left_out_ != 0) {
    --spins_left_out_;
    return std::chrono::microseconds(0);
  }
  std::size_t const spinning = spinning_.load(std::memory_order_relaxed);
  return scheduler.busy_workers() + spinning + 1 <= cpus ? long_enough
                                                         : std::chrono::microseconds(0);
}

// The cores may be wanted by other programs, of which we know nothing. Then a thread that spins waits for its core
// longer than one that is woken: once may be anybody's chance, several times in a row are not.
void Core::note_spin(bool preempted) {
  constexpr unsigned enough = 3;
  constexpr unsigned left_out = 4'000;
  if (!preempted) {
    preempted_spins_.store(0, std::memory_order_relaxed);
  } else if (preempted_spins_.fetch_add(1, std::memory_order_relaxed) + 1 >= enough) {
    preempted_spins_.store(enough - 1, std::memory_order_relaxed);  // one more says it again
    std::lock_guard const lock(mutex);
    spins_left_out_ = left_out;
  }
}

void Core::note_busy() {
  others_busy_.store(scheduler.busy_workers() != 0, std::memory_order_relaxed);
}

// This thread looks for what a worker has to say, which need not ring meanwhile.
class Core::Spin {
 public:
  Spin(Core& core, std::size_t slot) : core_(core), slot_(slot) {
    core_.spinning_.fetch_add(1, std::memory_order_relaxed);
    asleep_ = core_.slots[slot_].begin_spin();
  }
  Spin(Spin const&) = delete;
  Spin& operator=(Spin const&) = delete;
  // The thread may be ended in the middle: what the worker says by then is found a look later.
  ~Spin() { static_cast<void>(end()); }

  bool worker_sleeps() const noexcept { return asleep_; }

  // True: there is something that the worker has not rung for.
  bool end() {
    if (std::exchange(ended_, true)) return false;
    core_.spinning_.fetch_sub(1, std::memory_order_relaxed);
    return core_.slots[slot_].end_spin();
  }

 private:
  Core& core_;
  std::size_t const slot_;
  bool asleep_ = false;
  bool ended_ = false;
};

void Core::help(detail::Task& task) {
  if (task.counts().announced != 1) return;
  if (!task.worker()) place();  // nobody was in a hurry
  auto const worker = task.worker();
  if (!worker) return;
  // Whether it is to be replaced now is for the dispatcher to see, after each element.
  if (options.max_tasks_per_worker || options.recycle_above) return;
  std::chrono::microseconds time{0};
  {
    std::lock_guard const lock(mutex);
    time = spin_time();
    // Something that takes long is slept for.
    if (scheduler.cost(task.function().code) >= static_cast<double>(time.count()) * 1000) return;
  }
  Spin spin(*this, *worker);
  // Its waking up comes first, and our own sleep would cost one more.
  if (spin.worker_sleeps()) time *= 3;
  // Each look keeps others from the slot for a moment.
  constexpr int pauses_per_look = 2;
  bool preempted = false;
  os::spin_until(
      time, pauses_per_look,
      [&] {
        bool good = true;
        if (slots[*worker].news_at_a_glance()) good = collect(*worker).has_value();
        // What is wrong with the worker is for the dispatcher, at its next look.
        return !good || task.ended();
      },
      &preempted);
  note_spin(preempted);
  if (spin.end()) collect(*worker);
  // This worker may have become idle, and what waits behind others be for it.
  if (others_busy_.load(std::memory_order_relaxed)) wake_dispatcher();
}

// ---- what the end of a pool, and its log, want to know

bool Core::drained() const { return delivered == accepted && unsealed == 0; }

void Core::log(std::string_view text) const noexcept {
  detail::if_possible([&] {
    std::string const clean = os::clean_lines(text);
    if (options.log) {
      options.log(clean);
      return;
    }
    std::string const line = "procpool: " + clean + "\n";
    std::fputs(line.c_str(), stderr);
  });
}

std::string Core::awaited() {
  constexpr std::size_t most = 8;
  std::vector<std::uint64_t> ids;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    for (std::uint64_t const id : slots[i].task_ids()) {
      if (ids.size() < most && std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
    }
  }
  std::string list;
  for (std::uint64_t const id : ids) list += (list.empty() ? "task " : ", ") + std::to_string(id);
  if (!list.empty()) return list;
  std::lock_guard const lock(mutex);
  if (std::uint64_t const left = accepted - delivered; left != 0) {
    list = std::to_string(left) + " element" + (left == 1 ? "" : "s") + " that no worker has";
    if (!put_off.empty()) {
      list += ", the first of them of task " + std::to_string(put_off.begin()->second.task->id()) +
              ", which is to be run again";
    }
    return list;
  }
  if (unsealed != 0) return std::to_string(unsealed) + " calls whose inputs are still being read";
  if (live != 0) return std::to_string(live) + " workers that have not exited";
  return "what its workers have left behind";
}

}  // namespace procpool::inline v0::local
