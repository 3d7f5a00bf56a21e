#include "engine/local/core.hpp"

#include <cstdio>
#include <ranges>
#include <utility>

#include <procpool/cpu_count.hpp>
#include <procpool/errors.hpp>

namespace procpool::inline v0::local {

using detail::Block;

Core::Core(PoolOptions given)
    : options(std::move(given)),
      name(options.name),
      workers(options.workers ? options.workers->checked("workers", most_workers) : cpu_count()),
      scheduler(workers) {
  slots.reserve(workers);
  for (std::size_t i = 0; i < workers; ++i) {
    slots.push_back(std::make_unique<Slot>(static_cast<int>(i)));
  }
}

// ---- the engine's calls

void Core::append(std::shared_ptr<detail::Task> const& task, detail::Segment segment, bool last) {
  std::uint64_t const count = segment.count;
  Chunk chunk{task, nullptr, segment.first, count};
  bool const first = segment.first == 0;
  chunk.batch = std::make_shared<Batch>(std::move(segment), task->function().argument_size);
  std::exception_ptr refused;
  {
    std::lock_guard const lock(mutex);
    if (first) {
      if (broken) std::rethrow_exception(broken);
      if (closed) {
        throw PoolClosed("pool \"" + name + "\" takes no more tasks: it was closed");
      }
      ++unsealed;
    }
    accepted += count;
    task->announce(count);
    if (broken) {
      refused = broken;
    } else if (phase >= Phase::cancelling || task->cancelled()) {
      refused = cancellation(*task);
    } else if (count != 0) {
      scheduler.add(chunk);
    }
  }
  if (last) seal(*task);
  if (refused) {
    fail({chunk}, refused, true);
    return;
  }
  place();
  bool more_workers = false;
  {
    std::lock_guard const lock(mutex);
    more_workers = scheduler.waiting() != 0 && live < workers;
  }
  if (more_workers) wake_dispatcher();
}

std::exception_ptr Core::cancellation(detail::Task const& task) const {
  return std::make_exception_ptr(TaskCancelled("task " + std::to_string(task.id()) + " of pool \"" +
                                               name +
                                               "\" was cancelled before this element had ended"));
}

void Core::cancel(std::shared_ptr<detail::Task> const& task) {
  task->cancel();
  std::vector<Chunk> waiting;
  {
    std::lock_guard const lock(mutex);
    waiting = scheduler.remove(*task);
  }
  fail(waiting, cancellation(*task), true);
  // What workers hold of it ahead; the rest comes back to the queue's front in its old order.
  take_back_everything();
  seal(*task);
  place();
}

void Core::seal(detail::Task& task) {
  if (!task.seal()) return;
  std::lock_guard const lock(mutex);
  --unsealed;
  if (phase != Phase::open && drained()) wake_dispatcher();
}

Stats Core::stats() const {
  std::lock_guard const lock(mutex);
  Stats stats;
  stats.submitted = accepted;
  stats.done = resolved;
  stats.running = std::min(scheduler.busy_workers(), accepted - resolved);
  stats.queued = accepted - resolved - stats.running;
  stats.records = records;
  stats.worker_starts = worker_starts;
  stats.worker_deaths = worker_deaths;
  stats.workers = static_cast<unsigned>(ready);
  return stats;
}

// ---- moving

void Core::place() {
  for (;;) {
    std::optional<Scheduler::Assignment> assignment;
    bool dozed = false;
    {
      std::lock_guard const lock(mutex);
      scheduler.expect_more(live < workers || starting != 0);
      assignment = scheduler.next();
      if (assignment) dozed = std::exchange(dozing, false);
    }
    if (!assignment) return;
    if (dozed) wake_dispatcher();
    std::exception_ptr unsendable;
    Slot::Put put = Slot::Put::gone;
    try {
      put = slots[assignment->worker]->put(assignment->chunk);
    } catch (std::exception const& error) {
      Chunk const& chunk = assignment->chunk;
      unsendable = std::make_exception_ptr(
          SetupError(element_text(chunk.task->id(), chunk.first, chunk.count) +
                     " could not be sent to a worker: " + error.what()));
    }
    if (put == Slot::Put::sent) {
      std::lock_guard const lock(mutex);
      ++records;
    } else if (unsendable) {
      {
        std::lock_guard const lock(mutex);
        scheduler.finished(assignment->worker, nullptr, assignment->chunk.count, 1, 0,
                           std::chrono::steady_clock::now());
      }
      fail({assignment->chunk}, unsendable, false);
    } else {
      {
        std::lock_guard const lock(mutex);
        scheduler.refused(*assignment);
      }
      if (put == Slot::Put::full && slots[assignment->worker]->await_room()) {
        std::lock_guard const lock(mutex);
        scheduler.roomy(assignment->worker);
      }
      // Not simply back to the queue: the pool's end may have emptied that meanwhile, for good.
      std::vector<Chunk> back;
      back.push_back(std::move(assignment->chunk));
      requeue(std::move(back));
      if (put == Slot::Put::gone) wake_dispatcher();
    }
  }
}

void Core::deliver(std::vector<Slot::Item> items, std::size_t slot) {
  if (items.empty()) return;
  std::uint64_t elements = 0;
  {
    std::lock_guard const lock(mutex);
    TimePoint const now = std::chrono::steady_clock::now();
    for (Slot::Item const& item : items) {
      scheduler.finished(slot, item.task->function().code, item.block.count, item.ended_chunks,
                         item.nanoseconds, now);
      elements += item.block.count;
    }
    resolved += elements;
    summary.done += elements;
  }
  for (Slot::Item& item : items) item.task->deliver(std::move(item.block));
  count_delivered(elements);
}

void Core::count_delivered(std::uint64_t elements) {
  std::lock_guard const lock(mutex);
  delivered += elements;
  if (phase != Phase::open && delivered == accepted) wake_dispatcher();
}

bool Core::drained() const { return delivered == accepted && unsealed == 0; }

bool Core::collect(std::size_t index) {
  Slot::Harvest harvest = slots[index]->collect();
  bool const anything = !harvest.items.empty() || harvest.settled || harvest.roomy;
  deliver(std::move(harvest.items), index);
  if (harvest.settled) {
    std::uint64_t elements = 0;
    for (Chunk const& chunk : harvest.returned) elements += chunk.count;
    std::lock_guard const lock(mutex);
    scheduler.taken_back(index, elements, harvest.returned.size());
    scheduler.settled(index);
  }
  if (harvest.roomy) {
    std::lock_guard const lock(mutex);
    scheduler.roomy(index);
  }
  requeue(std::move(harvest.returned));
  if (anything) place();
  return harvest.bad.empty();
}

bool Core::balance() {
  for (;;) {
    bool look_again = false;
    std::optional<Scheduler::TakeBack> wanted;
    {
      std::lock_guard const lock(mutex);
      wanted = scheduler.imbalance(std::chrono::steady_clock::now(), look_again);
    }
    if (!wanted) return look_again;
    Slot::TakenBack taken = slots[wanted->worker]->take_back(wanted->elements);
    if (!taken.asked) return true;
    {
      std::lock_guard const lock(mutex);
      scheduler.taken_back(wanted->worker, taken.elements, taken.ended_chunks);
    }
    requeue(std::move(taken.chunks));
    place();
  }
}

void Core::take_back_everything() {
  for (std::size_t i = 0; i < slots.size(); ++i) {
    Slot::TakenBack taken = slots[i]->take_back(~std::uint64_t{0});
    if (!taken.asked) continue;
    {
      std::lock_guard const lock(mutex);
      scheduler.taken_back(i, taken.elements, taken.ended_chunks);
    }
    requeue(std::move(taken.chunks));
  }
}

void Core::requeue(std::vector<Chunk> chunks) {
  std::vector<Chunk> cancelled;
  std::vector<Chunk> hopeless;
  std::exception_ptr reason;
  {
    std::lock_guard const lock(mutex);
    reason = broken;
    for (Chunk& chunk : std::views::reverse(chunks)) {
      if (phase >= Phase::cancelling || chunk.task->cancelled()) {
        cancelled.push_back(std::move(chunk));
      } else if (reason) {
        hopeless.push_back(std::move(chunk));
      } else {
        scheduler.give_back(std::move(chunk));
      }
    }
  }
  for (Chunk& chunk : cancelled) fail({chunk}, cancellation(*chunk.task), true);
  if (!hopeless.empty()) fail(hopeless, reason, false);
}

void Core::fail(std::vector<Chunk> const& chunks, std::exception_ptr const& reason,
                bool cancelled) {
  std::uint64_t elements = 0;
  for (Chunk const& chunk : chunks) elements += chunk.count;
  if (elements == 0) return;
  {
    std::lock_guard const lock(mutex);
    resolved += elements;
    (cancelled ? summary.cancelled : summary.done) += elements;
  }
  for (Chunk const& chunk : chunks) {
    Block block;
    block.first = chunk.first;
    block.count = chunk.count;
    block.kind = Block::Kind::failed;
    block.failure = reason;
    chunk.task->deliver(std::move(block));
  }
  count_delivered(elements);
}

void Core::cancel_waiting() {
  std::vector<Chunk> waiting;
  {
    std::lock_guard const lock(mutex);
    waiting = scheduler.remove_all();
  }
  for (Chunk& chunk : waiting) fail({chunk}, cancellation(*chunk.task), true);
}

void Core::settle_death(std::size_t index, Slot::Death death,
                        std::function<std::exception_ptr(Chunk const&)> const& reason) {
  deliver(std::move(death.harvest.items), index);
  bool killed = false;
  {
    std::lock_guard const lock(mutex);
    scheduler.worker_gone(index);
    killed = phase == Phase::killing;
  }
  for (Chunk& chunk : death.charged) {
    if (killed) {
      fail({chunk}, cancellation(*chunk.task), true);
    } else {
      fail({chunk}, reason(chunk), false);
    }
  }
  requeue(std::move(death.harvest.returned));
}

void Core::log(std::string_view text) const {
  if (options.log) {
    options.log(text);
    return;
  }
  std::string const line = "procpool: " + std::string(text) + "\n";
  std::fputs(line.c_str(), stderr);
}

std::string Core::task_list() {
  constexpr std::size_t most = 8;
  std::vector<std::uint64_t> ids;
  for (auto const& slot : slots) {
    for (std::uint64_t const id : slot->task_ids()) {
      if (ids.size() < most && std::ranges::find(ids, id) == ids.end()) ids.push_back(id);
    }
  }
  std::string list;
  for (std::uint64_t const id : ids) list += (list.empty() ? "" : ", ") + std::to_string(id);
  return list;
}

}  // namespace procpool::inline v0::local
