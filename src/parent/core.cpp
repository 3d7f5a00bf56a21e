// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/core.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <limits>
#include <ranges>
#include <string>
#include <thread>
#include <utility>

#include <procpool/cpu_count.hpp>
#include <procpool/detail/codec/exception_codec.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/engine/reason.hpp>
#include <procpool/errors.hpp>

#include "engine/describe.hpp"
#include "engine/event_queue.hpp"
#include "engine/patience.hpp"
#include "os/spin.hpp"
#include "os/text.hpp"
#include "parent/exit_report.hpp"
#include "parent/pooled_task.hpp"
#include "parent/worker_environment.hpp"
#include "parent/worker_state.hpp"

namespace procpool::inline v0_1::parent {

using detail::Lock;
using detail::OutcomeBlock;

namespace {

// Larger rings mean fewer wake-ups when elements are short. But their memory is reserved, and takes its
// time to make.
std::size_t ring_bytes_for(std::size_t workers) {
  constexpr std::size_t few = 16;
  return (workers <= few ? 256 : 64) * std::size_t{1024};
}

}  // namespace

Core::Core(PoolOptions given, Slots kind)
    : options(std::move(given)),
      name(options.name),
      debugged(std::getenv("PROCPOOL_WAIT_FOR_DEBUGGER") != nullptr),
      slots_are(kind),
      ring_bytes(
          ring_bytes_for(kind == Slots::shared ? worker_count(options) : detail::max_workers)),
      trimmer(std::make_shared<Trimmer>([this] { wake_dispatcher(); })),
      buffer_pool(std::make_shared<BufferPool>(options.harden, trimmer)),
      task_slab(std::make_shared<Slab>(trimmer)),
      place_environments(options),
      wanted_(kind == Slots::shared ? worker_count(options) : 0),
      scheduler_(wanted_,
                 options.lifetime.max_tasks
                     ? detail::checked(*options.lifetime.max_tasks, "lifetime.max_tasks",
                                       detail::max_tasks)
                     : std::numeric_limits<std::uint64_t>::max(),
                 channel::inline_limit(ring_bytes),
                 kind == Slots::shared ? Scheduler::Keys::are_bound : Scheduler::Keys::are_workers),
      admission_(name, options.queue_limit
                           ? std::optional(detail::checked(*options.queue_limit, "queue_limit",
                                                           detail::max_queue_limit))
                           : std::nullopt),
      seeds_(options.seed) {
  // First: the workers are told of the blocks that it lets go.
  trimmer->add(*buffer_pool);
  trimmer->add(*task_slab);
  trimmer->add(slots);
  resize(wanted_);
}

// Tasks and blocks that are still referred to may outlive the core.
Core::~Core() {
  if (own_trace_) {
    if (auto const failure = own_trace_->finish()) {
      detail::if_possible([&] {
        log("pool \"" + name + "\": its trace in \"" + own_trace_->path() +
            "\" ends early: " + *failure);
      });
    }
  }
  close_memory();
}

std::optional<std::string> Core::begin_trace(bool given) {
  if (trace() != nullptr) return std::nullopt;
  std::string path = options.trace;
  if (path.empty() && !given) {
    // A program with more rights than its caller writes nothing where that wants it.
    char const* const wanted = ::secure_getenv("PROCPOOL_TRACE");
    if (wanted != nullptr) path = wanted;
  }
  if (path.empty()) return std::nullopt;
  std::string const what =
      "pool \"" + name + "\": its trace cannot be written to \"" + path + "\": ";
  try {
    // The actors of a pool have a core of the same name.
    own_trace_ = std::make_unique<Trace>(TraceFile::open(path), name,
                                         slots_are == Slots::of_actors ? name + "/actors" : name);
  } catch (std::runtime_error const& error) {
    if (!options.trace.empty()) throw SetupError(what + error.what());
    return what + error.what();
  }
  // Release: a thread that finds it sees its contents.
  trace_.store(own_trace_.get(), std::memory_order_release);
  return std::nullopt;
}

void Core::close_memory() {
  trimmer->close();
  buffer_pool->close();
  task_slab->close();
}

void Core::resize(std::size_t workers) {
  if (!slots_are_dedicated()) place_environments.grow(workers);
  StartRequests::List done;
  std::vector<std::shared_ptr<detail::Task>> on_each_worker;
  {
    Lock const lock(mutex_);
    on_each_worker.reserve(on_each_worker_.size());
    set_size(workers);
    done = take_met_requests();  // they wait for more workers than there shall be
    for (auto const& task : on_each_worker_) {
      if (auto known = task.lock()) on_each_worker.push_back(std::move(known));
    }
  }
  end_requests(done, nullptr);
  // The places from `workers` on are gone.
  for (auto const& task : on_each_worker) cancel_from(*task, workers);
}

std::size_t Core::begin_on_each_worker(std::shared_ptr<detail::Task> const& task) {
  Lock const lock(mutex_);
  std::erase_if(on_each_worker_, [](auto const& known) { return known.expired(); });
  on_each_worker_.push_back(task);
  return wanted_;
}

void Core::pause() {
  {
    Lock const lock(mutex_);
    if (admission_.phase() != Phase::open) return;
    scheduler_.pause(true);
  }
  // A thread that has taken chunks puts them, or brings them back, in microseconds.
  constexpr int max_looks = 10'000;
  for (int looks = 0; looks < max_looks; ++looks) {
    bool on_its_way = false;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      Load const load = slots[i].load();
      Lock const lock(mutex_);
      scheduler_.observe(i, load, std::chrono::steady_clock::now());
      on_its_way = on_its_way || scheduler_.is_on_its_way(i);
    }
    if (!on_its_way) break;
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  revoke_all();
}

void Core::resume() {
  {
    Lock const lock(mutex_);
    scheduler_.pause(false);
  }
  place();
  wake_dispatcher();
}

void Core::set_size(std::size_t workers) {
  slots.grow(workers, buffer_pool);
  scheduler_.resize(workers);
  tally_.resize(workers);
  wanted_ = workers;
}

// ---- workers without work

void Core::start_workers(std::shared_ptr<detail::Task> const& task, std::size_t workers) {
  StartRequests::List done;
  {
    Lock const lock(mutex_);
    admission_.check_call();
    start_requests_.add(task, workers);
    task->announce(1, true);
    done = take_met_requests();
  }
  end_requests(done, nullptr);
  if (done.empty()) wake_dispatcher();
}

StartRequests::List Core::take_met_requests() {
  StartRequests::List done = start_requests_.take_done(ready_, wanted_);
  if (!done.empty()) requests_met_ = std::chrono::steady_clock::now();
  return done;
}

void Core::end_requests(StartRequests::List const& ended, std::exception_ptr const& error) {
  for (auto const& [task, workers] : ended) {
    OutcomeBlock block;
    block.count = 1;
    block.kind = error ? OutcomeBlock::Kind::failed : OutcomeBlock::Kind::values;
    block.failure = error;
    task->deliver(std::move(block));
  }
}

void Core::cancel_requests(StartRequests::List const& ended, char const* what) const {
  for (auto const& [task, workers] : ended) {
    OutcomeBlock block;
    block.count = 1;
    block.kind = OutcomeBlock::Kind::failed;
    block.cancelled = true;
    block.failure = cancellation(*task, what);
    task->deliver(std::move(block));
  }
}

// ---- dedicated slots

std::optional<std::size_t> Core::dedicate(std::shared_ptr<DedicatedWorker> const& worker) {
  Lock const lock(mutex_);
  if (admission_.phase() != Phase::open) return std::nullopt;
  std::size_t const slot = dedicated_.next();
  if (slot == detail::max_workers) {
    throw SetupError("pool \"" + name + "\" has " + std::to_string(detail::max_workers) +
                     " workers of their own already, and can have no more");
  }
  if (slot >= wanted_) set_size(slot + 1);
  Tenancy& tenancy = dedicated_.take(worker);
  if (worker->actor() != nullptr) {
    tenancy.unmade = true;
    admission_.call_begins();  // the pool does not end before the object was made
  }
  return slot;
}

void Core::release(std::size_t slot) {
  {
    Lock const lock(mutex_);
    if (dedicated_[slot].unmade) admission_.call_sealed();
    dedicated_.release(slot, std::chrono::steady_clock::now());
  }
  wake_dispatcher();
}

std::shared_ptr<DedicatedWorker> Core::dedicated_worker(std::size_t slot) const {
  Lock const lock(mutex_);
  return dedicated_.worker(slot);
}

std::size_t Core::dedicated_workers() const {
  Lock const lock(mutex_);
  return dedicated_.used();
}

std::optional<Core::TimePoint> Core::unused_end() const {
  if (slots_are == Slots::of_actors) return std::nullopt;
  auto const since = dedicated_.unused_since();
  return since ? std::optional(*since + unused_time) : std::nullopt;
}

void Core::fail_waiting_for(std::size_t slot,
                            std::function<std::exception_ptr(Chunk const&)> const& reason) {
  // A thread that has taken a chunk for this slot, and has not put it yet, brings it back soon. Else
  // the chunk could go to the next owner's worker.
  constexpr int max_looks = 10'000;
  for (int looks = 0; looks < max_looks; ++looks) {
    {
      Lock const lock(mutex_);
      if (!scheduler_.is_on_its_way(slot)) break;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
  Chunks waiting;
  {
    Lock const lock(mutex_);
    waiting = scheduler_.remove_own(slot);
  }
  for (Chunk const& chunk : waiting) {
    end_element(chunk, detail::patiently([&] { return reason(chunk); }), false);
  }
}

// ---- actors

void Core::close_actor(std::size_t slot) {
  Lock const lock(mutex_);
  dedicated_[slot].closed = true;
  tell_room();
}

void Core::begin_actor_end(std::size_t slot, Phase phase, std::optional<TimePoint> deadline) {
  Chunks waiting;
  {
    Lock const lock(mutex_);
    Tenancy& tenancy = dedicated_[slot];
    tenancy.closed = true;
    tenancy.phase = std::max(tenancy.phase, phase);
    if (deadline) tenancy.deadline = std::min(tenancy.deadline.value_or(*deadline), *deadline);
    if (phase >= Phase::cancelling) waiting = scheduler_.remove_own(slot);
    tell_room();
  }
  fail_cancelled(waiting);
  if (phase >= Phase::cancelling) revoke(slot);
  wake_dispatcher();
}

std::uint64_t Core::pending(std::size_t slot) const {
  Lock const lock(mutex_);
  return dedicated_[slot].pending;
}

Summary Core::actor_summary(std::size_t slot) const {
  Lock const lock(mutex_);
  return dedicated_[slot].summary;
}

std::shared_ptr<DedicatedWorker> Core::living_actor(std::size_t slot) const {
  if (slots_are != Slots::of_actors) return nullptr;
  Lock const lock(mutex_);
  return dedicated_.lives(slot) ? dedicated_.worker(slot) : nullptr;
}

Core::ActorEnd Core::advance_actor_end(std::size_t slot, TimePoint now) {
  Lock const lock(mutex_);
  Tenancy& tenancy = dedicated_[slot];
  if (tenancy.deadline && now >= *tenancy.deadline) tenancy.phase = Phase::killing;
  bool const timed = tenancy.phase != Phase::killing;
  return {tenancy.phase, tenancy.pending == 0 && !tenancy.unmade,
          timed ? tenancy.deadline : std::nullopt};
}

void Core::actor_made(std::size_t slot) {
  Lock const lock(mutex_);
  if (std::exchange(dedicated_[slot].unmade, false)) admission_.call_sealed();
}

bool Core::restart_actor(std::size_t slot, std::size_t used) {
  Lock const lock(mutex_);
  Tenancy const& tenancy = dedicated_[slot];
  // When the end has begun, a process is needed for calls that wait, and for nothing else.
  Phase const phase = std::max(tenancy.phase, admission_.phase());
  bool const wanted = phase == Phase::open || (phase == Phase::draining && tenancy.pending != 0);
  if (!wanted || used >= tenancy.worker->actor()->restarts) return false;
  tally_.count_actor_restart();
  return true;
}

void Core::end_actor(std::size_t slot, detail::OutcomeBlock outcome) {
  auto const kept =
      detail::patiently([&] { return std::make_shared<OutcomeBlock const>(outcome); });
  Chunks waiting;
  bool cancelled = false;
  {
    Lock const lock(mutex_);
    Tenancy& tenancy = dedicated_[slot];
    tenancy.outcome = kept;
    cancelled = tenancy.phase >= Phase::cancelling;  // its owner has ended it
    if (std::exchange(tenancy.unmade, false)) admission_.call_sealed();
    waiting = scheduler_.remove_own(slot);
    tell_room();
  }
  if (cancelled) return fail_cancelled(waiting);
  for (Chunk const& chunk : waiting) end_element(chunk, *kept);
}

void Core::check_open(int fd) const noexcept {
  if (::fcntl(fd, F_GETFD) >= 0 || errno != EBADF || forked_since(forks)) return;
  // Not by the log, which may be the program's own code and use the pool: a lock may be held here.
  std::fprintf(stderr,
               "procpool: pool \"%s\": this program has closed descriptors that are the pool's, as "
               "closefrom() or a loop does, and is aborted. Close only what you have opened\n",
               name.c_str());
  std::abort();
}

// ---- calls of the engine

void Core::check_call(detail::Task const& task) {
  admission_.check_call();
  Tenancy const* const slot = tenancy(task);
  if (slot != nullptr && slot->closed) {
    throw PoolClosed(slot->worker->text() + " takes no more calls: it was closed");
  }
}

std::shared_ptr<OutcomeBlock const> Core::hopeless_outcome(detail::Task const& task) {
  Tenancy const* const slot = tenancy(task);
  if (slot != nullptr) return slot->outcome;
  std::exception_ptr const& reason = admission_.hopeless();
  if (!reason) return nullptr;
  return detail::patiently([&reason] {
    OutcomeBlock block;
    block.kind = OutcomeBlock::Kind::failed;
    block.failure = reason;
    return std::make_shared<OutcomeBlock const>(std::move(block));
  });
}

void Core::check_intake() const {
  Lock const lock(mutex_);
  admission_.check_call();
}

std::shared_ptr<detail::Task> Core::make_task(detail::Function&& function,
                                              detail::TaskOptions&& of_call) {
  return std::allocate_shared<PooledTask>(SlabAllocator<PooledTask>(*task_slab),
                                          std::move(function), std::move(of_call));
}

void Core::append(std::shared_ptr<detail::Task> const& task, detail::InputBuffer&& input,
                  bool last) {
  std::uint64_t const count = input.count;
  Chunk chunk{task, nullptr, input.first, count};
  bool const first = input.first == 0;
  Trace* const trace = this->trace();
  if (trace != nullptr) trace->learn(*task);
  // The resources that it names are let go when its elements have ended, and not with the task.
  if (first && last && input.bytes.size() <= PooledTask::max_bytes && input.resources.empty()) {
    chunk.input = PooledTask::own_input(task, std::move(input));
  } else {
    chunk.input = std::make_shared<SharedInput>(std::move(input), task->function().argument_size);
  }
  std::shared_ptr<OutcomeBlock const> refused;
  Chunks cancelled;
  Move move;
  bool overdue = false;
  bool urgent = false;
  TimePoint queued;
  {
    Lock lock(mutex_);
    if (task->stream()) {
      admission_.check_stream();
    } else {
      if (first) check_call(*task);
      if (admission_.queue_limit() || slots_are_dedicated()) {
        await_room(lock, *task, chunk.first, count);
        if (first) check_call(*task);  // it may have been closed meanwhile
      }
    }
    if (unsigned const times = count > 1 || trace != nullptr ? 1 : tally_.count_call()) {
      queued = std::chrono::steady_clock::now();
      chunk.input->note_queued({queued, static_cast<std::uint8_t>(times)});
    }
    if (first) seeds_.seed(*task);
    // Steps that may find no memory come first: nothing is counted that is in nobody's hands.
    if (task->expires()) overdue = deadlines_.add(chunk, std::chrono::steady_clock::now());
    Tenancy* const slot = tenancy(*task);
    if (slot != nullptr || admission_.hopeless()) refused = hopeless_outcome(*task);
    if (refused) {
      // Nothing of it is queued.
    } else if (!admission_.goes_on()) {
      cancelled.push_back(std::move(chunk));
      overdue = false;
    } else {
      // A call may be cancelled, or stopped by a failure, while later elements of it still come.
      if (std::uint64_t const end = task->cancelled_from(); end < chunk.end()) {
        cancelled.push_back(chunk.take_from(end));
      }
      if (chunk.count != 0 && !overdue) scheduler_.add(std::move(chunk));
    }
    admission_.accept(count);
    if (slot != nullptr) slot->pending += count;
    // It cannot be complete by that: these elements have not ended.
    if (first && last && !task->stream()) {
      task->announce_all(count);  // the call begins and is sealed
    } else {
      if (first && !task->stream()) admission_.call_begins();
      if (task->announce(count, last) && !task->stream()) admission_.call_sealed();
    }
    if (task->timed()) deadlines_.add_timed(count);
    // From here on the elements are the pool's, and the caller hears of no error any more.
    if (admission_.goes_on()) {
      urgent = scheduler_.outranks(task->priority());
      // In a limited queue, elements that wait for company would keep others out.
      if (cancelled.empty()) {
        bool const limited = admission_.queue_limit() || (slot != nullptr && slot->limited());
        next_move(move, limited ? Scheduler::Coalescing::goes : Scheduler::Coalescing::waits);
      }
    }
    if (trace != nullptr) trace->waiting(scheduler_.waiting(), queued);
  }
  if (refused) {
    // NOLINTNEXTLINE(bugprone-use-after-move): a refused chunk was not moved
    end_element(chunk, *refused);
    return;
  }
  bool short_of_workers = carry_out(move);
  if (overdue) fail_expired(chunk);
  if (!cancelled.empty()) {
    fail_cancelled(cancelled);
    short_of_workers = place();
  }
  if (urgent) balance();
  bool const new_time = task->timed() || task->queue_timeout();  // to look at
  if (short_of_workers || new_time) wake_dispatcher();
}

void Core::cancel(std::shared_ptr<detail::Task> const& task) {
  if (task->internal()) {
    StartRequests::List waiting;
    {
      Lock const lock(mutex_);
      waiting = start_requests_.take(*task);
    }
    return cancel_requests(waiting, "was cancelled before its workers were ready");
  }
  cancel_from(*task, 0);
  seal(*task);
  place();
}

void Core::cancel_from(detail::Task& task, std::uint64_t first) {
  if (!task.cancel_from(first)) return;
  Chunks waiting;
  Chunks off;
  {
    Lock const lock(mutex_);
    waiting = scheduler_.remove(task, first);
    tell_room();
    off = deadlines_.remove_delayed(
        [&](Chunk const& chunk) { return chunk.task.get() == &task && chunk.first >= first; });
  }
  fail_cancelled(off);
  fail_cancelled(waiting);
  // Other elements that workers hold come back to the front of the queue, in their old order.
  revoke_all();
}

void Core::count_resolved(detail::Task const& task, std::uint64_t elements, bool cancelled) {
  admission_.resolve(elements);
  if (Tenancy* const slot = tenancy(task)) {
    slot->pending -= elements;
    (cancelled ? slot->summary.cancelled : slot->summary.done) += elements;
    if (slot->phase != Phase::open && slot->pending == 0) wake_dispatcher();
  }
  if (task.expires()) deadlines_.forget_ended();
  if (task.timed()) deadlines_.remove_timed(elements);
  tell_room();
}

void Core::seal(detail::Task& task) {
  if (!task.seal()) return;
  Lock const lock(mutex_);
  if (!task.stream()) admission_.call_sealed();
  if (admission_.phase() != Phase::open && drained()) wake_dispatcher();
}

Stats Core::stats() const {
  Lock const lock(mutex_);
  Stats stats = tally_.stats();
  stats.submitted = admission_.accepted();
  stats.done = admission_.resolved();
  stats.running = running();
  stats.queued = stats.submitted - stats.done - stats.running;
  stats.workers = static_cast<unsigned>(ready_);
  stats.actors = dedicated_.living();
  return stats;
}

std::vector<WorkerStats> Core::worker_stats() const {
  std::vector<WorkerStats> stats;
  {
    Lock const lock(mutex_);
    stats = tally_.workers();
  }
  for (RunningElement& running : running_elements(nullptr)) {
    if (running.worker < stats.size()) stats[running.worker].running = std::move(running);
  }
  return stats;
}

std::vector<RunningElement> Core::running_elements(detail::Task const* task) const {
  std::vector<RunningElement> running;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    auto const doing = slots[i].doing();
    if (!doing || doing->task->internal()) continue;
    if (task != nullptr && doing->task.get() != task) continue;
    RunningElement& element = running.emplace_back();
    element.worker = static_cast<unsigned>(i);
    element.task = doing->task->id();
    element.element = doing->element;
    element.label = doing->task->label().text;
    element.done = doing->done;
    if (doing->total != 0) element.total = doing->total;
  }
  return running;
}

// ---- the queue's limit

void Core::await_room(Lock& lock, detail::Task const& task, std::uint64_t first,
                      std::uint64_t count) {
  if (has_room(task, count)) return;
  if (first == 0 && task.when_full() == WhenFull::refuse) {
    Tenancy const* const slot = tenancy(task);
    throw QueueFull(slot != nullptr
                        ? slot->worker->text() + " takes no more calls now: its queue_limit of " +
                              std::to_string(*slot->worker->actor()->queue_limit) + " is reached"
                        : "pool \"" + name + "\" takes no more tasks now: its queue_limit of " +
                              std::to_string(*admission_.queue_limit()) + " is reached");
  }
  ++waiting_for_room_;
  while (admission_.may_get_room(first == 0) && task.cancelled_from() > first &&
         !has_room(task, count)) {
    if (!task.deadline()) {
      room_.wait(lock);
    } else if (!room_.wait_until(lock, *task.deadline())) {
      break;
    }
  }
  --waiting_for_room_;
}

bool Core::has_room(detail::Task const& task, std::uint64_t count) {
  Tenancy const* const slot = tenancy(task);
  if (slot == nullptr) return admission_.has_room(count, running());
  bool const needs_none = slot->closed || slot->outcome;
  return needs_none || slot->has_room(count, scheduler_.held(task.key()->value()) != 0);
}

// ---- spinning

// This thread looks for outcomes of a worker, which need not notify meanwhile.
class Core::Spin {
 public:
  Spin(Core& core, std::size_t slot) : core_(core), slot_(slot) {
    core_.idle_policy_.spin_begins();
    asleep_ = core_.slots[slot_].begin_spin();
  }
  Spin(Spin const&) = delete;
  Spin& operator=(Spin const&) = delete;
  // The thread may be ended in the middle: outcomes that come by then are found a look later.
  ~Spin() { static_cast<void>(end()); }

  bool worker_sleeps() const noexcept { return asleep_; }

  // True: there is something that the worker has not notified of.
  bool end() {
    if (std::exchange(ended_, true)) return false;
    core_.idle_policy_.spin_ends();
    return core_.slots[slot_].end_spin();
  }

 private:
  Core& core_;
  std::size_t const slot_;
  bool asleep_ = false;
  bool ended_ = false;
};

void Core::help(detail::Task& task) {
  if (!task.is_single()) return;
  if (!task.placement()) place();  // it may wait for company
  auto const placement = task.placement();
  if (!placement) return;
  std::size_t const worker = placement->worker;
  // After each element the dispatcher sees whether the worker is to be replaced.
  if (options.lifetime.max_tasks || options.lifetime.recycle_above) return;
  auto time = idle_policy_.spin_time();
  // The thread sleeps for an element that takes long.
  if (std::chrono::nanoseconds(placement->nanoseconds) >= time) return;
  Spin spin(*this, worker);
  // The worker wakes up first, and a sleep of this thread would cost one more wake-up.
  if (spin.worker_sleeps()) time *= 3;
  // Each look keeps others from the slot for a moment.
  constexpr int pauses_per_look = 2;
  bool preempted = false;
  Slot::Report report;
  os::spin_until(
      time, pauses_per_look,
      [&] {
        bool good = true;
        if (slots[worker].try_collect(report)) {
          good = apply_collected(worker, std::exchange(report, Slot::Report())).has_value();
        }
        // A worker that wrote what cannot be is for the dispatcher, at its next look.
        return !good || task.ended();
      },
      &preempted);
  idle_policy_.note_spin(preempted);
  if (spin.end()) collect(worker);
  // This worker may have become idle, and elements that wait behind others may be for it.
  if (idle_policy_.any_busy()) wake_dispatcher();
}

// ---- the end of a pool, and its log

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

void Core::tell_line(std::size_t worker, std::string const& owner,
                     Slot::LogLine const& line) const noexcept {
  detail::if_possible([&] {
    Event event;
    event.kind = EventKind::task_logged;
    event.time = std::chrono::system_clock::now();
    event.pool = owner;
    event.worker = static_cast<int>(worker);
    event.pid = line.pid;
    if (line.task && !line.task->internal()) {
      event.task = line.task->id();
      event.element = line.element;
      event.label = line.task->label().text;
    }
    event.level = std::min(static_cast<LogLevel>(std::min(line.level, 255u)), LogLevel::error);
    event.text = os::one_line(line.text);
    event.missed = line.lost;
    if (Trace* const trace = this->trace()) trace->event(event);
    options.on_event ? options.on_event(event) : log(line_of(event));
  });
}

std::string Core::owner_text(detail::Task const& task) const {
  auto const worker =
      slots_are_dedicated() && task.key() ? dedicated_worker(task.key()->value()) : nullptr;
  return worker ? worker->text() : "pool \"" + name + '"';
}

std::string Core::awaited() {
  constexpr std::size_t most = 8;
  std::vector<std::string> names;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    for (std::string& task : slots[i].task_names()) {
      if (names.size() < most && std::ranges::find(names, task) == names.end()) {
        names.push_back(std::move(task));
      }
    }
  }
  std::string list;
  for (std::string const& task : names) list += (list.empty() ? "" : ", ") + task;
  if (!list.empty()) return list;
  Lock const lock(mutex_);
  // Relaxed: for a text.
  std::uint64_t const left = admission_.accepted() - delivered_.load(std::memory_order_relaxed);
  if (left != 0) {
    list = std::to_string(left) + " element" + (left == 1 ? "" : "s") + " that no worker has";
    if (Chunk const* const delayed = deadlines_.first_delayed()) {
      list += ", the first of them of " + delayed->task->name() + ", which is to be run again";
    }
    return list;
  }
  if (auto const unmade = dedicated_.unmade(); unmade != 0) {
    return unmade == 1 ? "an actor whose constructor has not returned"
                       : std::to_string(unmade) + " actors whose constructors have not returned";
  }
  if (auto const unsealed = admission_.unsealed(); unsealed != 0)
    return std::to_string(unsealed) + " calls whose inputs are still being read";
  if (live_ != 0) return std::to_string(live_) + " workers that have not exited";
  return "what its workers have left behind";
}

// ---- moving elements

bool Core::place() {
  Move move;
  {
    Lock const lock(mutex_);
    next_move(move);
  }
  return carry_out(move);
}

bool Core::next_move(Move& move, Scheduler::Coalescing coalescing) {
  // A dedicated worker gets all that is for it, whatever the others do.
  scheduler_.expect_more(!slots_are_dedicated() && (live_ < wanted_ || starting_ != 0));
  if (!scheduler_.next(move.group, coalescing)) {
    move.short_of_workers =
        scheduler_.waiting() != 0 && missing_workers() != 0 && scheduler_.waits_for_more_workers();
    return false;
  }
  tally_.add_records(move.group.chunks.size());
  tell_room();
  move.was_deep_sleep = std::exchange(deep_sleep_, false);
  idle_policy_.note_busy(scheduler_.busy_workers());
  move.spin = idle_policy_.spin_time();
  move.last = scheduler_.waiting() == 0;
  return true;
}

bool Core::carry_out(Move& move) {
  auto& [worker, each, keyed, chunks] = move.group;
  constexpr double longest = std::numeric_limits<std::uint32_t>::max();
  while (!chunks.empty()) {
    if (move.was_deep_sleep) wake_dispatcher_soon();
    detail::Task::Placement const placement{static_cast<std::uint32_t>(worker),
                                            static_cast<std::uint32_t>(std::min(each, longest))};
    for (Chunk const& chunk : chunks) chunk.task->placed(placement);
    Slot::PutReport put = slots[worker].put(chunks, move.spin, keyed);
    if (Trace* const trace = this->trace(); trace != nullptr && put.sent != 0) {
      trace->message(worker, put.sent);
    }
    if (put.sent != chunks.size() || put.unwanted) {
      settle(move.group, std::move(put));
    } else if (keyed) {
      // The next ones with a key wait until these have arrived.
      Load const load = slots[worker].load();
      Lock const lock(mutex_);
      scheduler_.observe(worker, load, std::chrono::steady_clock::now());
    } else if (move.last) {
      return false;  // the scheduler counts these chunks as on their way until the next report
    }
    chunks.clear();
    Lock const lock(mutex_);
    next_move(move);
  }
  return move.short_of_workers;
}

void Core::settle(Scheduler::Group& group, Slot::PutReport put) {
  std::size_t const worker = group.worker;
  auto& chunks = group.chunks;
  Slot::Report report;
  report.load = slots[worker].load();
  bool const holds_nothing = report.load.held == Amount();
  Chunks unsent;
  detail::move_behind(unsent, std::span(chunks).subspan(put.sent));
  std::optional<Chunk> unsendable;
  if (put.failure) {
    unsendable = std::move(unsent.front());
    unsent.pop_front();
  }
  {
    Lock const lock(mutex_);
    tally_.remove_records(chunks.size() - put.sent);
  }
  apply(worker, std::move(report));
  // Not simply back to the queue: the pool's end may have emptied that meanwhile, for good.
  requeue(std::move(unsent), worker);
  if (put.unwanted) {
    revoke(worker);
    for (Chunk const& chunk : std::span(chunks).first(put.sent)) {
      if (chunk.task && chunk.task->marked_for_end()) end_running(*chunk.task);
    }
  }
  if (unsendable) {
    auto const reason = detail::patiently([&] {
      std::string const what =
          element_text(*unsendable->task, unsendable->first, unsendable->count);
      return std::make_exception_ptr(
          SetupError(what + " could not be sent to a worker: " + Failure(put.failure).what()));
    });
    end_element(*unsendable, reason, false);
  } else if (put.result == Slot::Put::gone) {
    wake_dispatcher();
  } else if (put.result == Slot::Put::full && holds_nothing) {
    // No outcome will tell of room. The worker takes what went ahead of the chunk in this time.
    constexpr std::chrono::microseconds short_time{100};
    put.advanced ? wake_dispatcher_soon(short_time) : wake_dispatcher_soon();
  }
}

bool Core::apply(std::size_t index, Slot::Report&& report) {
  if (report.load.version == 0) return false;
  report.for_each_item([&](Slot::Item& item) {
    // Before another attempt can add to it.
    for (auto& [element, text] : item.output) {
      detail::if_possible([&] { item.task->add_output(element, std::move(text)); });
    }
    item.again = thrown_is_tried_again(item);
  });
  std::uint64_t elements = 0;
  bool waiting = !report.returned.empty();
  auto const now = std::chrono::steady_clock::now();
  Trace* const trace = this->trace();
  if (trace != nullptr) trace_outcomes(*trace, index, report, now);
  {
    Lock const lock(mutex_);
    scheduler_.observe(index, report.load, now);
    report.for_each_item([&](Slot::Item const& item) PROCPOOL_REQUIRES(mutex_) {
      if (item.task->internal()) return;
      detail::patiently([&]() PROCPOOL_REQUIRES(mutex_) {
        scheduler_.measure(item.task->function().code, item.block.count, item.block.nanoseconds);
      });
      if (item.again) return;
      elements += item.block.count;
      count_resolved(*item.task, item.block.count);
      tally_.count_answered(index, item.block.count, item.block.nanoseconds);
      if (item.queued.times != 0 && item.block.nanoseconds != 0) {
        auto const ran = std::chrono::nanoseconds(item.block.nanoseconds);
        tally_.count_waited(now - ran - item.queued.when, item.block.count * item.queued.times);
      }
    });
    tally_.count_ended(elements, false);
    waiting = waiting || scheduler_.waiting() != 0;
    if (trace != nullptr) trace->waiting(scheduler_.waiting(), now);
    idle_policy_.note_busy(scheduler_.busy_workers());
  }
  report.for_each_item([&](Slot::Item& item) {
    if (item.again) return;
    stop_after_failure(*item.task, item.block);
    item.input.reset();  // what it names is let go before its outcome is seen
    item.task->deliver(std::move(item.block));
  });
  if (elements != 0) count_delivered(elements);
  if (!report.returned.empty()) requeue(std::move(report.returned), index);
  return waiting;
}

void Core::trace_outcomes(Trace& trace, std::size_t slot, Slot::Report& report, TimePoint now) {
  detail::if_possible([&] {
    std::vector<Trace::Attempt> ended;
    report.for_each_item([&](Slot::Item const& item) {
      if (item.task->internal()) return;
      OutcomeBlock const& block = item.block;
      std::string_view const outcome = block.kind == OutcomeBlock::Kind::values   ? "value"
                                       : block.kind == OutcomeBlock::Kind::thrown ? "exception"
                                                                                  : "failed";
      std::optional<std::chrono::nanoseconds> ran;
      if (block.nanoseconds != 0) ran.emplace(block.nanoseconds);
      ended.push_back({slot, block.pid, *item.task, block.first, block.count, outcome, item.again,
                       ran, item.queued});
    });
    if (!ended.empty()) trace.attempts(ended, now);
  });
  std::uint64_t back = 0;
  for (Chunk const& chunk : report.returned) back += chunk.amount().elements;
  if (back != 0) trace.revoked(slot, back);
}

void Core::count_delivered(std::uint64_t elements) {
  // seq_cst, both: either this thread sees that the pool ends, or the thread that ends it sees this
  // count.
  delivered_.fetch_add(elements, std::memory_order_seq_cst);
  if (!ending_.load(std::memory_order_seq_cst)) return;
  Lock const lock(mutex_);
  if (delivered_.load(std::memory_order_relaxed) == admission_.accepted()) wake_dispatcher();
}

std::optional<std::size_t> Core::collect(std::size_t index) {
  return apply_collected(index, slots[index].collect());
}

std::optional<std::size_t> Core::apply_collected(std::size_t index, Slot::Report&& report) {
  std::size_t const outcomes = report.outcomes();
  bool const believed = report.bad.empty();
  if (apply(index, std::move(report))) place();
  return believed ? std::optional(outcomes) : std::nullopt;
}

bool Core::balance() {
  {
    Lock const lock(mutex_);
    scheduler_.retry();
  }
  for (;;) {
    place();  // also what waits for company
    bool look_again = false;
    std::optional<Scheduler::Revocation> wanted_back;
    {
      Lock const lock(mutex_);
      wanted_back = scheduler_.steal(std::chrono::steady_clock::now(), look_again);
    }
    if (!wanted_back) return look_again;
    Slot::Report report = slots[wanted_back->worker].revoke(wanted_back->elements);
    if (!report.load.revoking) return true;
    apply(wanted_back->worker, std::move(report));
  }
}

void Core::revoke(std::size_t index) {
  apply(index, slots[index].revoke(std::numeric_limits<std::uint64_t>::max()));
}

void Core::revoke_all() {
  for (std::size_t i = 0; i < slots.size(); ++i) revoke(i);
}

void Core::requeue(Chunks chunks, std::optional<std::size_t> worker) {
  if (chunks.empty()) return;
  std::uint64_t elements = 0;
  for (Chunk const& chunk : chunks) elements += chunk.amount().elements;
  Chunks cancelled;
  Chunks expired;
  Chunks hopeless;
  std::shared_ptr<OutcomeBlock const> reason;  // all chunks of a slot have the same
  {
    Lock const lock(mutex_);
    for (Chunk& chunk : std::views::reverse(chunks)) {
      Tenancy const* const slot = tenancy(*chunk.task);
      Phase const phase = std::max(admission_.phase(), slot != nullptr ? slot->phase : Phase::open);
      std::uint64_t const wanted_to = phase >= Phase::cancelling ? 0 : chunk.task->cancelled_from();
      if (!reason) reason = hopeless_outcome(*chunk.task);
      if (Chunk unwanted = chunk.take_from(wanted_to); unwanted.count != 0) {
        detail::patiently([&] { cancelled.push_back(std::move(unwanted)); });
      }
      if (chunk.count == 0) continue;
      if (chunk.expired()) {
        detail::patiently([&] { expired.push_back(std::move(chunk)); });
      } else if (reason) {
        detail::patiently([&] { hopeless.push_back(std::move(chunk)); });
      } else {
        scheduler_.requeue(std::move(chunk));
      }
    }
    if (worker) scheduler_.came_back(*worker, elements);
  }
  fail_cancelled(cancelled);
  for (Chunk const& chunk : expired) fail_expired(chunk);
  for (Chunk const& chunk : hopeless) end_element(chunk, *reason);
}

// ---- ending what runs

void Core::end_running(detail::Task& task) {
  // A worker that is not stopped withdraws a claim in less time.
  constexpr std::chrono::milliseconds patience{50};
  auto const begin = std::chrono::steady_clock::now();
  auto const force =
      detail::later(begin, options.shutdown.ask_grace);  // of an element that listens
  auto end = begin + patience;
  for (;;) {
    auto const now = std::chrono::steady_clock::now();
    bool const undecided = end_running_now(task, now, force);
    if (task.was_asked()) end = detail::later(force, patience);
    if (!undecided || now >= end) return;
    if (task.ended()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

bool Core::end_running_now(detail::Task& task, TimePoint now, TimePoint force) {
  bool undecided = false;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    if (!slots[i].holds(task)) continue;
    undecided = true;
    auto const running = slots[i].running();
    if (!running || running->task.get() != &task) {
      collect(i);
    } else if (now < force && slots[i].ask_to_stop(running->serial)) {
      task.mark_asked();
    } else {
      mark_for_kill(
          i, {running->serial, cancellation(task, "was cancelled while this element ran"), true});
    }
  }
  return undecided;
}

void Core::request_stop(std::shared_ptr<detail::Task> const& task) noexcept {
  if (task->ended()) return;
  // At once: nothing of it that is appended from now on may begin.
  task->cancel_from(0);
  {
    Lock const lock(mutex_);
    detail::patiently([&]() PROCPOOL_REQUIRES(mutex_) { stop_requests_.push_back(task); });
    tell_room();
  }
  wake_dispatcher();
}

// Tasks are not sealed here: the thread that appends a task does it, and counts on that.
std::optional<Core::TimePoint> Core::watch_stops(TimePoint now) {
  // A claim that is not certain yet is certain after this time. A thread may still be on its way to
  // a worker with a chunk of a task of which no worker has anything.
  constexpr std::chrono::milliseconds interval{1};
  constexpr std::chrono::milliseconds long_interval{10};
  std::vector<std::shared_ptr<detail::Task>> requested;
  Chunks waiting;
  Chunks off;
  {
    Lock const lock(mutex_);
    if (stops_.empty() && stop_requests_.empty()) return std::nullopt;
    requested = std::exchange(stop_requests_, {});
    if (!requested.empty()) {
      waiting = scheduler_.remove_cancelled();
      off = deadlines_.remove_delayed(
          [](Chunk const& chunk) { return chunk.end() > chunk.task->cancelled_from(); });
    }
  }
  auto const force = detail::later(now, options.shutdown.ask_grace);
  for (auto& task : requested) {
    detail::patiently([&] { stops_.push_back({task, force}); });
  }
  if (!requested.empty()) {
    fail_cancelled(off);
    fail_cancelled(waiting);
    revoke_all();  // what has not begun, of all of them, before what runs
    place();
  }
  bool undecided = false;
  std::erase_if(stops_, [&](Stop const& stop) {
    if (stop.task->ended()) return true;
    undecided = end_running_now(*stop.task, now, stop.force) || undecided;
    return stop.task->ended();
  });
  if (stops_.empty()) return std::nullopt;
  return now + (undecided ? interval : long_interval);
}

void Core::mark_for_kill(std::size_t index, Slot::KillReason kill_reason) {
  bool const cancelled = kill_reason.cancelled;
  Slot::KillResult result = slots[index].mark_for_kill(std::move(kill_reason));
  if (result.marked) {
    Lock const lock(mutex_);
    scheduler_.worker_leaves(index);
    tally_.count_marked_for_kill(cancelled);
  }
  apply(index, std::move(result.report));
  if (result.marked) wake_dispatcher();
  place();
}

// ---- attempts

namespace {

void name_element(Event& event, Chunk const& chunk) {
  event.task = chunk.task->id();
  event.element = chunk.first;
  event.elements = chunk.count;
  event.label = chunk.task->label().text;
}

}  // namespace

void Core::tell_timeout(Chunk const& chunk, int worker, std::string const& how) const noexcept {
  tell(EventKind::task_timed_out, [&](Event& event) {
    event.worker = worker;
    name_element(event, chunk);
    event.text = how;
  });
}

bool Core::try_again(Chunk const& failed, bool allowed, std::string const& how, int worker) {
  auto const& retries = failed.task->retries();
  Chunk element = failed;
  element.again = true;
  if (!retries || !allowed || element.unwanted()) return false;
  {
    Lock const lock(mutex_);
    if (!admission_.goes_on()) return false;
  }
  if (auto const& deadline = failed.task->deadline()) {
    // The failure of this attempt says more than that of one that would have no time.
    std::uint64_t const attempt =
        detail::patiently([&] { return failed.task->earlier_attempts(failed.first).failed; }) + 1;
    auto const begin =
        detail::later(std::chrono::steady_clock::now(), detail::backoff_before(attempt, *retries));
    if (begin >= *deadline) return false;
  }
  auto const counted_as_failed = [&] { return element.task->attempt_failed(element.first, how); };
  if (!detail::patiently(counted_as_failed)) return false;
  std::uint64_t const attempts =
      detail::patiently([&] { return element.task->earlier_attempts(element.first).failed; });
  auto const backoff = detail::backoff_before(attempts, *retries);
  {
    Lock const lock(mutex_);
    if (!admission_.goes_on()) return false;
    deadlines_.delay_until(detail::later(std::chrono::steady_clock::now(), backoff),
                           std::move(element));
    tally_.count_retry();
  }
  tell(EventKind::task_retried, [&](Event& event) {
    event.worker = worker;
    name_element(event, failed);
    event.text = element_text(*failed.task, failed.first, 1) + " is run again: attempt " +
                 std::to_string(attempts) + " ended with: " + how;
  });
  wake_dispatcher();
  return true;
}

std::exception_ptr Core::after_attempts(Chunk const& element, std::exception_ptr const& timeout) {
  auto const earlier = element.task->earlier_attempts(element.first);
  if (earlier.failed == 0) return timeout;
  auto const* const error = Failure(timeout).as<TaskTimeout>();
  if (error == nullptr) return timeout;
  return std::make_exception_ptr(
      TaskTimeout(error->what() + attempts_text(earlier.told, earlier.failed)));
}

bool Core::thrown_is_tried_again(Slot::Item const& item) {
  if (!item.element || !item.task->retries()) return false;
  ThrownTypes const& also_on = item.task->retries()->also_on;
  if (also_on.empty()) return false;
  // An attempt that has ended by itself has closed the ends of pipes that it was given.
  if (detail::any_is_carried(item.element->input->resources())) return false;
  std::exception_ptr const error = detail::patiently([&] {
    return detail::reason_of(item.block, item.task->id(), {}, {}, item.task->label().text);
  });
  // The listed type is told without an object of it, which would run the type's own code here.
  std::exception_ptr const kind = detail::patiently([&] {
    return detail::listed_kind(item.block.payload.bytes(), options.exceptions.functions());
  });
  bool const allowed = also_on.contains(error) || (kind && also_on.contains(kind));
  return try_again(*item.element, allowed, detail::patiently([&] { return describe(error); }),
                   item.block.worker);
}

// ---- the clock

std::optional<Core::TimePoint> Core::watch_deadlines(TimePoint now) {
  // A deadline is noticed so late at most, and a begin is known twice as exactly.
  constexpr std::chrono::milliseconds interval{5};
  Deadlines::Due due;
  Chunks expired;
  bool any_timed = false;
  {
    Lock const lock(mutex_);
    due = deadlines_.due(now);
    if (due.expired) expired = scheduler_.remove_expired();
    any_timed = deadlines_.any_timed();
  }
  if (!due.delayed.empty()) {
    requeue(std::move(due.delayed));
    place();
  }
  if (due.expired) {
    for (Chunk const& chunk : expired) fail_expired(chunk);
    revoke_all();
    place();
  }
  if (!any_timed || debugged) return due.next;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    auto const seen = slots[i].running();
    if (!seen || !seen->task->timed()) continue;
    auto const& limit = seen->task->timeout();
    auto const& deadline = seen->task->deadline();
    TimePoint over = limit ? detail::later(seen->since, *limit) : TimePoint::max();
    bool const by_deadline = deadline && *deadline < over;
    if (by_deadline) over = *deadline;
    if (now < over) continue;
    if (now < detail::later(over, options.shutdown.ask_grace) && slots[i].ask_to_stop(seen->serial))
      continue;
    std::string text =
        element_text(*seen->task, seen->element, 1) + " of " + owner_text(*seen->task) + ' ';
    text += by_deadline
                ? "was still running at its deadline"
                : "ran longer than its timeout of " + std::to_string(limit->count()) + " ms";
    mark_for_kill(i, {seen->serial, std::make_exception_ptr(TaskTimeout(text)), false});
  }
  auto const again = now + interval;
  return due.next ? std::min(*due.next, again) : again;
}

void Core::fail_expired(Chunk const& chunk) {
  auto const reason = detail::patiently([&] {
    std::string text = element_text(*chunk.task, chunk.first, chunk.count) + " of " +
                       owner_text(*chunk.task) + " had not ";
    text += chunk.input->expiry() == SharedInput::Expiry::all
                ? "ended at its deadline"
                : "begun after its queue_timeout of " +
                      std::to_string(chunk.task->queue_timeout()->count()) + " ms";
    return after_attempts(chunk, std::make_exception_ptr(TaskTimeout(text)));
  });
  tell_timeout(chunk, -1, detail::patiently([&] { return describe(reason); }));
  end_element(chunk, reason, false);
}

// ---- ends of elements

void Core::stop_after_failure(detail::Task& task, detail::OutcomeBlock const& block) {
  // Elements before it still run: the failure that is told is the first by index, as in a loop.
  if (task.stop_on_error() && block.kind != OutcomeBlock::Kind::values && !block.cancelled) {
    cancel_from(task, block.first + 1);
  }
}

std::exception_ptr Core::cancellation(detail::Task const& task, char const* what) const noexcept {
  return detail::patiently([&] {
    return std::make_exception_ptr(
        TaskCancelled(task.name() + " of pool \"" + name + "\" " + what));
  });
}

void Core::fail(Chunks const& chunks, std::exception_ptr const& reason) {
  for (Chunk const& chunk : chunks) end_element(chunk, reason, false);
}

void Core::fail_cancelled(Chunks const& chunks) {
  for (Chunk const& chunk : chunks) {
    end_element(chunk, cancellation(*chunk.task, "was cancelled before this element had ended"),
                true);
  }
}

void Core::end_element(Chunk const& chunk, std::exception_ptr const& reason, bool cancelled) {
  OutcomeBlock block;
  block.kind = OutcomeBlock::Kind::failed;
  block.cancelled = cancelled;
  block.failure = reason;
  end_element(chunk, std::move(block));
}

void Core::end_element(Chunk const& chunk, OutcomeBlock block) {
  if (chunk.count == 0) return;
  {
    Lock const lock(mutex_);
    count_resolved(*chunk.task, chunk.count, block.cancelled);
    tally_.count_ended(chunk.count, block.cancelled);
  }
  if (Trace* const trace = this->trace(); trace != nullptr && !block.begun) {
    trace->not_run(*chunk.task, chunk.first, chunk.count, block.cancelled ? "cancelled" : "failed");
  }
  block.first = chunk.first;
  block.count = chunk.count;
  stop_after_failure(*chunk.task, block);
  chunk.task->deliver(std::move(block));
  count_delivered(chunk.count);
}

void Core::cancel_waiting() {
  Chunks waiting;
  Chunks off;
  {
    Lock const lock(mutex_);
    waiting = scheduler_.remove_all();
    off = deadlines_.remove_delayed([](Chunk const&) { return true; });
  }
  fail_cancelled(waiting);
  fail_cancelled(off);
}

void Core::resolve_death(std::size_t index, Slot::Death death,
                         std::function<std::exception_ptr(Chunk const&)> const& reason) {
  // Back to the queue only after the attributed elements have ended: their failure may stop these.
  Chunks returned = std::exchange(death.report.returned, Chunks());
  // What the pool itself had sent was for this worker alone. A worker that lives returns none of it.
  auto const internal =
      std::ranges::remove_if(returned, [](Chunk const& chunk) { return chunk.task->internal(); });
  returned.erase(internal.begin(), internal.end());
  apply(index, std::move(death.report));
  bool killed = false;
  {
    Lock const lock(mutex_);
    scheduler_.worker_leaves(index);
    killed = admission_.phase() == Phase::killing ||
             (slots_are_dedicated() && dedicated_[index].phase == Phase::killing);
  }
  for (Chunk& chunk : death.attributed) {
    auto const seen_since = std::exchange(death.seen_since, std::nullopt);  // of the first
    if (!death.output.empty()) {
      detail::if_possible(
          [&] { chunk.task->add_output(chunk.first, std::exchange(death.output, {})); });
    }
    auto const why = [&] { return detail::patiently([&] { return reason(chunk); }); };
    if (chunk.task->internal()) {  // counted nowhere
      OutcomeBlock block;
      block.count = 1;
      block.kind = OutcomeBlock::Kind::failed;
      block.failure = why();
      chunk.task->deliver(std::move(block));
      continue;
    }
    auto const trace_attempt = [&](std::string_view outcome, bool again) {
      Trace* const trace = this->trace();
      if (trace == nullptr) return;
      trace->attempts({{index, death.pid, *chunk.task, chunk.first, chunk.count, outcome, again,
                        std::nullopt, chunk.input->queued()}},
                      std::chrono::steady_clock::now());
    };
    auto const end = [&](std::exception_ptr const& failure, bool cancelled) {
      OutcomeBlock block;
      block.kind = OutcomeBlock::Kind::failed;
      block.cancelled = cancelled;
      block.begun = true;
      block.failure = failure;
      block.worker = static_cast<int>(index);
      block.pid = death.pid;
      if (seen_since) {
        auto const ran = std::chrono::steady_clock::now() - *seen_since;
        block.nanoseconds =
            static_cast<std::uint64_t>(std::max(ran, std::chrono::nanoseconds(1)).count());
      }
      end_element(chunk, std::move(block));
    };
    if (death.kill_reason) {
      Slot::KillReason const kill_reason = *std::exchange(death.kill_reason, std::nullopt);
      auto const& retries = chunk.task->retries();
      std::string const how = detail::patiently([&] { return describe(kill_reason.reason); });
      if (!kill_reason.cancelled) tell_timeout(chunk, static_cast<int>(index), how);
      if (retries && !kill_reason.cancelled && !killed &&
          try_again(chunk, retries->on_timeout, how, static_cast<int>(index))) {
        trace_attempt("timeout", true);
        continue;
      }
      trace_attempt(kill_reason.cancelled ? "cancelled" : "timeout", false);
      end(kill_reason.cancelled ? kill_reason.reason : detail::patiently([&] {
            return after_attempts(chunk, kill_reason.reason);
          }),
          kill_reason.cancelled);
    } else if (killed) {
      trace_attempt("cancelled", false);
      end(cancellation(*chunk.task, "was cancelled before this element had ended"), true);
    } else {
      std::exception_ptr const died = why();
      auto const& retries = chunk.task->retries();
      if (retries && try_again(chunk, retries->on_crash,
                               detail::patiently([&] { return detail::describe_briefly(died); }),
                               static_cast<int>(index))) {
        trace_attempt("died", true);
        continue;
      }
      trace_attempt("died", false);
      end(died, false);
    }
  }
  requeue(std::move(returned), index);
}

// ---- the dispatcher's

std::size_t Core::wanted_workers() const {
  Lock const lock(mutex_);
  return wanted_;
}

std::size_t Core::missing_workers() const {
  std::size_t const wanted = slots_are == Slots::of_actors ? dedicated_.living() : wanted_;
  return wanted > live_ ? wanted - live_ : 0;
}

bool Core::wants_worker() const {
  Lock const lock(mutex_);
  return !admission_.hopeless() && admission_.phase() != Phase::killing && missing_workers() != 0 &&
         (slots_are == Slots::of_actors || scheduler_.waiting() > starting_ ||
          live_ < requested_workers());
}

void Core::recount(WorkerStanding before, WorkerStanding after) {
  Lock const lock(mutex_);
  if (before == WorkerStanding::starting) --starting_;
  if (before == WorkerStanding::ready) --ready_;
  if (after == WorkerStanding::starting) ++starting_;
  if (after == WorkerStanding::ready) ++ready_;
  live_ = starting_ + ready_;
}

void Core::note_cpus() { idle_policy_.set_cpus(cpu_count()); }

void Core::note_start(std::size_t worker, pid_t pid) {
  Lock const lock(mutex_);
  tally_.count_start(worker, pid);
}

void Core::worker_ready(std::size_t worker, TimePoint now) {
  Load const load = slots[worker].load();
  StartRequests::List done;
  {
    Lock const lock(mutex_);
    scheduler_.observe(worker, load, now);
    scheduler_.worker_ready(worker, now);
    done = take_met_requests();
  }
  end_requests(done, nullptr);
}

void Core::worker_leaves(std::size_t worker) {
  Lock const lock(mutex_);
  scheduler_.worker_leaves(worker);
}

bool Core::start_failed(std::exception_ptr const& hopeless) noexcept {
  Chunks waiting;
  StartRequests::List requests;
  bool fails = false;
  {
    Lock const lock(mutex_);
    if (admission_.phase() == Phase::killing) return false;
    tally_.count_failed_start();
    if (!hopeless) return true;
    requests = start_requests_.take_all();
    fails = ready_ == 0 && !admission_.hopeless();
    if (fails) {
      admission_.end_hopeless(hopeless);
      waiting = scheduler_.remove_all();
      tell_room();
    } else if (ready_ != 0) {
      // What waits for a place without a worker would wait for as long as the others live.
      scheduler_.count_on_ready_ones();
      waiting = scheduler_.remove_of_vacant_places();
    }
  }
  end_requests(requests, hopeless);
  fail(waiting, hopeless);
  if (!fails) detail::if_possible([this] { place(); });
  return !fails;
}

bool Core::note_exit(std::size_t worker, ExitReport const& report,
                     std::string const& text) noexcept {
  Lock const lock(mutex_);
  return tally_.count_exit(worker, report, text, admission_.phase() == Phase::killing);
}

void Core::amend_last_end(std::size_t worker, std::string_view from, std::string_view to) {
  Lock const lock(mutex_);
  tally_.amend_last_end(worker, from, to);
}

void Core::count_forced() {
  Lock const lock(mutex_);
  tally_.count_forced();
}

bool Core::spent(std::size_t worker) const {
  Lock const lock(mutex_);
  return scheduler_.spent(worker);
}

std::optional<Core::TimePoint> Core::idle_since(std::size_t worker) const {
  Lock const lock(mutex_);
  // Those that are ready wait for the others. Their time begins when all are.
  if (start_requests_.any()) return std::nullopt;
  auto const since = scheduler_.idle_since(worker);
  return since ? std::optional(std::max(*since, requests_met_)) : std::nullopt;
}

std::uint64_t Core::held(std::size_t worker) const {
  Lock const lock(mutex_);
  return scheduler_.held(worker);
}

bool Core::is_killing() const {
  Lock const lock(mutex_);
  return admission_.phase() == Phase::killing;
}

Core::Sleep Core::prepare_sleep() {
  Lock const lock(mutex_);
  bool const may_place = scheduler_.waiting() != 0 && !scheduler_.paused();
  deep_sleep_ = scheduler_.busy_workers() == 0 && !may_place;
  auto const end = admission_.next_phase();
  return {deep_sleep_, end ? end : unused_end()};
}

Core::EndState Core::advance_end(TimePoint now) {
  Lock const lock(mutex_);
  if (auto const end = unused_end(); end && now >= *end) {
    admission_.begin_end(Phase::draining, std::nullopt);
  }
  Phase const phase = admission_.advance(now);
  return {phase, drained(), delivered_.load(std::memory_order_seq_cst) == admission_.accepted()};
}

void Core::set_ended() {
  std::exception_ptr const closed = detail::patiently([this] {
    return std::make_exception_ptr(
        PoolClosed("pool \"" + name + "\" was ended before the process had begun"));
  });
  Lock const lock(mutex_);
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    // Their owners may wait for a process that has not begun, and for one that would have followed.
    if (dedicated_.lives(slot)) dedicated_.worker(slot)->not_started(closed);
  }
  ended_ = true;
  ended_changed_.notify_all();
}

// ---- the end of the pool, as the engine asks for it

void Core::close() {
  Lock const lock(mutex_);
  admission_.close();
  tell_room();
}

void Core::begin_end(Phase end, std::optional<TimePoint> deadline) {
  StartRequests::List requests;
  {
    Lock const lock(mutex_);
    requests = start_requests_.take_all();
    admission_.begin_end(end, deadline);
    scheduler_.pause(false);
    // seq_cst: see count_delivered().
    ending_.store(end != Phase::open, std::memory_order_seq_cst);
    tell_room();
  }
  cancel_requests(requests, "was cancelled: the pool ended before its workers were ready");
  wake_dispatcher();
}

bool Core::wait_for_end(bool running, std::optional<TimePoint> deadline) {
  Lock lock(mutex_);
  // Closed, and nothing will start the dispatcher any more.
  if (!running) ended_ = true;
  while (!ended_) {
    if (!deadline) {
      ended_changed_.wait(lock);
    } else if (!ended_changed_.wait_until(lock, *deadline)) {
      return ended_;
    }
  }
  return true;
}

Summary Core::end_summary() const {
  Lock const lock(mutex_);
  return tally_.summary();
}

}  // namespace procpool::inline v0_1::parent
