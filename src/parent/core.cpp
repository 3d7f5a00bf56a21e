#include "parent/core.hpp"

#include <algorithm>
#include <cstdio>
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
#include "engine/element_context.hpp"
#include "engine/patience.hpp"
#include "os/spin.hpp"
#include "os/text.hpp"
#include "parent/exit_report.hpp"
#include "parent/pooled_task.hpp"
#include "parent/worker_environment.hpp"
#include "parent/worker_state.hpp"

namespace procpool::inline v0::parent {

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

Core::Core(PoolOptions given)
    : options(std::move(given)),
      name(options.name),
      ring_bytes(ring_bytes_for(worker_count(options))),
      trimmer(std::make_shared<Trimmer>([this] { wake_dispatcher(); })),
      buffer_pool(std::make_shared<BufferPool>(options.harden, trimmer)),
      task_slab(std::make_shared<Slab>(trimmer)),
      wanted_(worker_count(options)),
      scheduler_(wanted_,
                 options.max_tasks_per_worker ? options.max_tasks_per_worker->checked(
                                                    "max_tasks_per_worker", max_tasks_per_worker)
                                              : std::numeric_limits<std::uint64_t>::max(),
                 channel::inline_limit(ring_bytes)),
      admission_(name, options.queue_limit ? std::optional(options.queue_limit->checked(
                                                 "queue_limit", max_queue_limit))
                                           : std::nullopt),
      seed_(options.seed) {
  // First: the workers are told of the blocks that it lets go.
  trimmer->add(*buffer_pool);
  trimmer->add(*task_slab);
  trimmer->add(slots);
  resize(wanted_);
}

// Tasks and blocks that are still referred to may outlive the core.
Core::~Core() { close_memory(); }

void Core::close_memory() {
  trimmer->close();
  buffer_pool->close();
  task_slab->close();
}

void Core::resize(std::size_t workers) {
  Lock const lock(mutex_);
  slots.grow(workers, buffer_pool);
  scheduler_.resize(workers);
  tally_.resize(workers);
  wanted_ = workers;
}

// ---- calls of the engine

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
  if (first && last && input.bytes.size() <= PooledTask::max_bytes) {
    chunk.input = PooledTask::own_input(task, std::move(input));
  } else {
    chunk.input = std::make_shared<SharedInput>(std::move(input), task->function().argument_size);
  }
  std::exception_ptr refused;
  Chunks cancelled;
  Move move;
  bool urgent = false;
  {
    Lock lock(mutex_);
    if (task->stream()) {
      admission_.check_stream();
    } else {
      if (first) admission_.check_call();
      if (admission_.queue_limit()) {
        await_room(lock, *task, chunk.first, count);
        if (first) admission_.check_call();  // it may have been closed meanwhile
      }
    }
    if (first) {
      if (!seed_) seed_ = random_seed();
      auto const stream = task->random_name();
      task->set_random(stream ? random_of_name(*seed_, *stream) : random_of_call(*seed_, calls_++));
    }
    // Steps that may find no memory come first: nothing is counted that is in nobody's hands.
    if (auto const wait = task->queue_timeout()) {
      deadlines_.expire_at(detail::later(std::chrono::steady_clock::now(), *wait), chunk.input);
    }
    if (admission_.hopeless()) {
      refused = admission_.hopeless();
    } else if (!admission_.goes_on()) {
      cancelled.push_back(std::move(chunk));
    } else {
      // A call may be cancelled, or stopped by a failure, while later elements of it still come.
      if (std::uint64_t const end = task->cancelled_from(); end < chunk.end()) {
        cancelled.push_back(chunk.take_from(end));
      }
      if (chunk.count != 0) scheduler_.add(std::move(chunk));
    }
    admission_.accept(count);
    if (first && !task->stream()) admission_.call_begins();
    // It cannot be complete by that: these elements have not ended.
    if (task->announce(count, last) && !task->stream()) admission_.call_sealed();
    if (task->timeout()) deadlines_.add_timed(count);
    // From here on the elements are the pool's, and the caller hears of no error any more.
    if (admission_.goes_on()) {
      urgent = scheduler_.outranks(task->priority());
      // In a limited queue, elements that wait for company would keep others out.
      if (cancelled.empty()) {
        next_move(move, admission_.queue_limit() ? Scheduler::Coalescing::goes
                                                 : Scheduler::Coalescing::waits);
      }
    }
  }
  if (refused) {
    // NOLINTNEXTLINE(bugprone-use-after-move): a refused chunk was not moved
    end_element(chunk, refused, false);
    return;
  }
  bool short_of_workers = carry_out(move);
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

void Core::count_resolved(detail::Task const& task, std::uint64_t elements) {
  admission_.resolve(elements);
  if (task.timeout()) deadlines_.remove_timed(elements);
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
  return stats;
}

std::vector<WorkerStats> Core::worker_stats() const {
  Lock const lock(mutex_);
  return tally_.workers();
}

// ---- the queue's limit

void Core::await_room(Lock& lock, detail::Task const& task, std::uint64_t first,
                      std::uint64_t count) {
  if (admission_.has_room(count, running())) return;
  if (first == 0 && task.when_full() == WhenFull::refuse) {
    throw QueueFull("pool \"" + name + "\" takes no more tasks now: its queue_limit of " +
                    std::to_string(*admission_.queue_limit()) + " is reached");
  }
  ++waiting_for_room_;
  while (admission_.may_get_room(first == 0) && task.cancelled_from() > first &&
         !admission_.has_room(count, running())) {
    room_.wait(lock);
  }
  --waiting_for_room_;
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
  if (options.max_tasks_per_worker || options.recycle_above) return;
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
  Lock const lock(mutex_);
  // Relaxed: for a text.
  std::uint64_t const left = admission_.accepted() - delivered_.load(std::memory_order_relaxed);
  if (left != 0) {
    list = std::to_string(left) + " element" + (left == 1 ? "" : "s") + " that no worker has";
    if (Chunk const* const delayed = deadlines_.first_delayed()) {
      list += ", the first of them of task " + std::to_string(delayed->task->id()) +
              ", which is to be run again";
    }
    return list;
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
  scheduler_.expect_more(live_ < wanted_ || starting_ != 0);
  if (!scheduler_.next(move.group, coalescing)) {
    move.short_of_workers = scheduler_.waiting() != 0 && live_ < wanted_;
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
  auto& [worker, each, chunks] = move.group;
  constexpr double longest = std::numeric_limits<std::uint32_t>::max();
  while (!chunks.empty()) {
    if (move.was_deep_sleep) wake_dispatcher_soon();
    bool const keyed = chunks.front().task->key().has_value();
    detail::Task::Placement const placement{static_cast<std::uint32_t>(worker),
                                            static_cast<std::uint32_t>(std::min(each, longest))};
    for (Chunk const& chunk : chunks) chunk.task->placed(placement);
    Slot::PutReport put = slots[worker].put(chunks, move.spin);
    if (put.sent != chunks.size() || put.unwanted) {
      settle(move.group, std::move(put));
    } else if (keyed) {
      // The next one with a key waits until this one has arrived.
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
  detail::move_behind(report.returned, std::span(chunks).subspan(put.sent));
  std::optional<Chunk> unsendable;
  if (put.failure) {
    unsendable = std::move(report.returned.front());
    report.returned.pop_front();
  }
  {
    Lock const lock(mutex_);
    tally_.remove_records(chunks.size() - put.sent);
  }
  // Not simply back to the queue: the pool's end may have emptied that meanwhile, for good.
  apply(worker, std::move(report));
  if (put.unwanted) {
    revoke(worker);
    for (Chunk const& chunk : std::span(chunks).first(put.sent)) {
      if (chunk.task && chunk.task->marked_for_end()) end_running(*chunk.task);
    }
  }
  if (unsendable) {
    auto const reason = detail::patiently([&] {
      std::string const what =
          element_text(unsendable->task->id(), unsendable->first, unsendable->count);
      try {
        std::rethrow_exception(put.failure);
      } catch (std::exception const& error) {
        return std::make_exception_ptr(
            SetupError(what + " could not be sent to a worker: " + error.what()));
      }
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
  {
    Lock const lock(mutex_);
    scheduler_.observe(index, report.load, std::chrono::steady_clock::now());
    report.for_each_item([&](Slot::Item const& item) PROCPOOL_REQUIRES(mutex_) {
      if (item.task->internal()) return;
      detail::patiently([&]() PROCPOOL_REQUIRES(mutex_) {
        scheduler_.measure(item.task->function().code, item.block.count, item.nanoseconds);
      });
      if (item.again) return;
      elements += item.block.count;
      count_resolved(*item.task, item.block.count);
      tally_.count_answered(index, item.block.count, item.nanoseconds);
    });
    tally_.count_ended(elements, false);
    waiting = waiting || scheduler_.waiting() != 0;
    idle_policy_.note_busy(scheduler_.busy_workers());
  }
  report.for_each_item([&](Slot::Item& item) {
    if (item.again) return;
    if (item.element && item.task->retries()) {
      detail::if_possible(
          [&] { item.block.earlier = item.task->earlier_attempts(item.block.first); });
    }
    stop_after_failure(*item.task, item.block);
    item.task->deliver(std::move(item.block));
  });
  if (elements != 0) count_delivered(elements);
  if (!report.returned.empty()) requeue(std::move(report.returned));
  return waiting;
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

void Core::requeue(Chunks chunks) {
  if (chunks.empty()) return;
  Chunks cancelled;
  Chunks expired;
  Chunks hopeless;
  std::exception_ptr reason;
  {
    Lock const lock(mutex_);
    reason = admission_.hopeless();
    for (Chunk& chunk : std::views::reverse(chunks)) {
      if (chunk.task->internal()) continue;  // for the worker that is gone
      std::uint64_t const wanted_to =
          admission_.phase() >= Phase::cancelling ? 0 : chunk.task->cancelled_from();
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
  }
  fail_cancelled(cancelled);
  fail_expired(expired);
  fail(hopeless, reason);
}

// ---- ending what runs

void Core::end_running(detail::Task& task) {
  // A worker that is not stopped withdraws a claim in less time.
  constexpr std::chrono::milliseconds patience{50};
  auto const begin = std::chrono::steady_clock::now();
  auto const force = detail::later(begin, options.ask_grace);  // of an element that listens
  auto end = begin + patience;
  for (;;) {
    bool undecided = false;
    auto const now = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (!slots[i].holds(task)) continue;
      undecided = true;
      auto const running = slots[i].running();
      if (!running || running->task.get() != &task) {
        collect(i);
      } else if (now < force && slots[i].ask_to_stop(running->serial)) {
        task.mark_asked();
        end = detail::later(force, patience);
      } else {
        mark_for_kill(
            i, {running->serial, cancellation(task, "was cancelled while this element ran"), true});
      }
    }
    if (!undecided || now >= end) return;
    if (task.ended()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
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

bool Core::try_again(Chunk const& failed, bool allowed, std::string const& how) {
  auto const& retries = failed.task->retries();
  Chunk element = failed;
  element.again = true;
  if (!retries || !allowed || element.unwanted()) return false;
  {
    Lock const lock(mutex_);
    if (!admission_.goes_on()) return false;
  }
  auto const counted_as_failed = [&] { return element.task->attempt_failed(element.first, how); };
  if (!detail::patiently(counted_as_failed)) return false;
  std::uint64_t const attempts =
      detail::patiently([&] { return element.task->earlier_attempts(element.first).failed; });
  auto const backoff = retries->backoff_before(attempts);
  {
    Lock const lock(mutex_);
    if (!admission_.goes_on()) return false;
    deadlines_.delay_until(detail::later(std::chrono::steady_clock::now(), backoff),
                           std::move(element));
    tally_.count_retry();
  }
  wake_dispatcher();
  return true;
}

std::exception_ptr Core::after_attempts(Chunk const& element, std::exception_ptr const& timeout) {
  auto const earlier = element.task->earlier_attempts(element.first);
  if (earlier.failed == 0) return timeout;
  try {
    std::rethrow_exception(timeout);
  } catch (TaskTimeout const& error) {
    return std::make_exception_ptr(
        TaskTimeout(error.what() + attempts_text(earlier.told, earlier.failed)));
  } catch (...) {
    return timeout;
  }
}

bool Core::thrown_is_tried_again(Slot::Item const& item) {
  if (!item.element || !item.task->retries() || item.task->retries()->exceptions.empty()) {
    return false;
  }
  std::exception_ptr const error =
      detail::patiently([&] { return detail::reason_of(item.block, item.task->id()); });
  // The listed type is told without an object of it, which would run the type's own code here.
  std::exception_ptr const kind = detail::patiently([&] {
    return detail::listed_kind(item.block.payload.bytes(), options.exceptions.functions());
  });
  bool const allowed = std::ranges::any_of(item.task->retries()->exceptions, [&](auto* const test) {
    return test(error) || (kind && test(kind));
  });
  return try_again(*item.element, allowed, detail::patiently([&] { return describe(error); }));
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
    fail_expired(expired);
    revoke_all();
    place();
  }
  if (!any_timed) return due.next;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    auto const seen = slots[i].running();
    if (!seen || !seen->task->timeout()) continue;
    auto const limit = *seen->task->timeout();
    auto const over = detail::later(seen->since, limit);
    if (now < over) continue;
    if (now < detail::later(over, options.ask_grace) && slots[i].ask_to_stop(seen->serial))
      continue;
    mark_for_kill(
        i, {seen->serial,
            std::make_exception_ptr(TaskTimeout(
                element_text(seen->task->id(), seen->element, 1) + " of pool \"" + name +
                "\" ran longer than its timeout of " + std::to_string(limit.count()) + " ms")),
            false});
  }
  auto const again = now + interval;
  return due.next ? std::min(*due.next, again) : again;
}

void Core::fail_expired(Chunks const& chunks) {
  for (Chunk const& chunk : chunks) {
    auto const reason = detail::patiently([&] {
      return std::make_exception_ptr(
          TaskTimeout(element_text(chunk.task->id(), chunk.first, chunk.count) + " of pool \"" +
                      name + "\" had not begun after its queue_timeout of " +
                      std::to_string(chunk.task->queue_timeout()->count()) + " ms"));
    });
    end_element(chunk, reason, false);
  }
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
        TaskCancelled("task " + std::to_string(task.id()) + " of pool \"" + name + "\" " + what));
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

void Core::end_element(Chunk const& chunk, std::exception_ptr const& reason, bool cancelled,
                       bool begun) {
  if (chunk.count == 0) return;
  {
    Lock const lock(mutex_);
    count_resolved(*chunk.task, chunk.count);
    tally_.count_ended(chunk.count, cancelled);
  }
  OutcomeBlock block;
  block.first = chunk.first;
  block.count = chunk.count;
  block.kind = OutcomeBlock::Kind::failed;
  block.cancelled = cancelled;
  block.begun = begun;
  block.failure = reason;
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
  apply(index, std::move(death.report));
  bool killed = false;
  {
    Lock const lock(mutex_);
    scheduler_.worker_leaves(index);
    killed = admission_.phase() == Phase::killing;
  }
  for (Chunk& chunk : death.attributed) {
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
    if (death.kill_reason) {
      Slot::KillReason const kill_reason = *std::exchange(death.kill_reason, std::nullopt);
      auto const& retries = chunk.task->retries();
      if (retries && !kill_reason.cancelled && !killed &&
          try_again(chunk, retries->on_timeout,
                    detail::patiently([&] { return describe(kill_reason.reason); }))) {
        continue;
      }
      end_element(chunk, kill_reason.cancelled ? kill_reason.reason : detail::patiently([&] {
                    return after_attempts(chunk, kill_reason.reason);
                  }),
                  kill_reason.cancelled, kill_reason.cancelled);
    } else if (killed) {
      end_element(chunk, cancellation(*chunk.task, "was cancelled before this element had ended"),
                  true);
    } else {
      std::exception_ptr const died = why();
      auto const& retries = chunk.task->retries();
      if (retries && try_again(chunk, retries->on_crash,
                               detail::patiently([&] { return detail::describe_briefly(died); }))) {
        continue;
      }
      end_element(chunk, died, false);
    }
  }
  requeue(std::move(returned));
}

// ---- the dispatcher's

std::size_t Core::wanted_workers() const {
  Lock const lock(mutex_);
  return wanted_;
}

bool Core::wants_worker() const {
  Lock const lock(mutex_);
  return !admission_.hopeless() && admission_.phase() != Phase::killing && live_ < wanted_ &&
         scheduler_.waiting() > starting_;
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
  Lock const lock(mutex_);
  scheduler_.observe(worker, load, now);
  scheduler_.worker_ready(worker, now);
}

void Core::worker_leaves(std::size_t worker) {
  Lock const lock(mutex_);
  scheduler_.worker_leaves(worker);
}

bool Core::start_failed(std::exception_ptr const& hopeless) noexcept {
  Chunks waiting;
  bool fails = false;
  {
    Lock const lock(mutex_);
    if (admission_.phase() == Phase::killing) return false;
    tally_.count_failed_start();
    if (!hopeless) return true;
    fails = ready_ == 0 && !admission_.hopeless();
    if (fails) {
      admission_.end_hopeless(hopeless);
      waiting = scheduler_.remove_all();
      tell_room();
    } else if (ready_ != 0) {
      // What waits for a place without a worker would wait for as long as the others live.
      scheduler_.count_on_ready_ones();
    }
  }
  if (fails) {
    fail(waiting, hopeless);
  } else {
    detail::if_possible([this] { place(); });
  }
  return !fails;
}

void Core::note_exit(std::size_t worker, ExitReport const& report,
                     std::string const& text) noexcept {
  Lock const lock(mutex_);
  tally_.count_exit(worker, report, text, admission_.phase() == Phase::killing);
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
  return scheduler_.idle_since(worker);
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
  deep_sleep_ = scheduler_.busy_workers() == 0 && scheduler_.waiting() == 0;
  return {deep_sleep_, admission_.next_phase()};
}

Core::EndState Core::advance_end(TimePoint now) {
  Lock const lock(mutex_);
  Phase const phase = admission_.advance(now);
  return {phase, drained(), delivered_.load(std::memory_order_seq_cst) == admission_.accepted()};
}

void Core::set_ended() {
  Lock const lock(mutex_);
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
  {
    Lock const lock(mutex_);
    admission_.begin_end(end, deadline);
    // seq_cst: see count_delivered().
    ending_.store(end != Phase::open, std::memory_order_seq_cst);
    tell_room();
  }
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

}  // namespace procpool::inline v0::parent
