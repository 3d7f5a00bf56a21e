#include "engine/local/scheduler.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace procpool::inline v0::local {

// ---- the queue

void Scheduler::add(Chunk chunk) {
  waiting_ += chunk.count;
  queues_[chunk.task->priority()].push_back(std::move(chunk));
}

void Scheduler::give_back(Chunk chunk) {
  waiting_ += chunk.count;
  queues_[chunk.task->priority()].push_front(std::move(chunk));
}

std::vector<Chunk> Scheduler::remove_where(std::function<Chunk(Chunk&)> const& which) {
  std::vector<Chunk> removed;
  for (auto queue = queues_.begin(); queue != queues_.end();) {
    for (Chunk& chunk : queue->second) {
      Chunk cut = which(chunk);
      if (cut.count == 0) continue;
      waiting_ -= cut.count;
      removed.push_back(std::move(cut));
    }
    std::erase_if(queue->second, [](Chunk const& chunk) { return chunk.count == 0; });
    queue = queue->second.empty() ? queues_.erase(queue) : std::next(queue);
  }
  return removed;
}

std::vector<Chunk> Scheduler::remove(detail::Task const& task, std::uint64_t first) {
  return remove_where(
      [&](Chunk& chunk) { return chunk.task.get() == &task ? chunk.take_from(first) : Chunk(); });
}

std::vector<Chunk> Scheduler::remove_expired() {
  return remove_where(
      [](Chunk& chunk) { return chunk.batch->expired() ? chunk.take_back(0) : Chunk(); });
}

std::vector<Chunk> Scheduler::remove_all() {
  return remove_where([](Chunk& chunk) { return chunk.take_back(0); });
}

// ---- the workers

void Scheduler::worker_ready(std::size_t worker, TimePoint now) {
  workers_[worker] = Worker{};
  workers_[worker].ready = true;
  workers_[worker].progress = now;
}

void Scheduler::worker_leaves(std::size_t worker) { workers_[worker].ready = false; }

void Scheduler::worker_gone(std::size_t worker) { workers_[worker] = Worker{}; }

std::uint64_t Scheduler::busy_workers() const noexcept {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(workers_, [](Worker const& w) { return w.elements != 0; }));
}

// ---- placing

double Scheduler::cost(detail::Trampoline code) const {
  auto const found = costs_.find(code);
  return found == costs_.end() ? 0 : found->second;
}

std::uint64_t Scheduler::portion(Chunk const& chunk) const {
  if (std::size_t const wanted = chunk.task->chunk(); wanted != 0) {
    return std::min<std::uint64_t>(wanted, chunk.count);
  }
  double const each = cost(chunk.task->function().code);
  if (each <= 0) return 1;
  auto const by_time = static_cast<std::uint64_t>(std::max(1.0, portion_ns / each));
  // Half of an even share: the closer the end, the smaller the portions, so that all workers end
  // together.
  auto const workers = static_cast<std::uint64_t>(
      std::max<std::ptrdiff_t>(1, std::ranges::count_if(workers_, &Worker::ready)));
  std::uint64_t const share = std::max<std::uint64_t>(1, waiting_ / (2 * workers));
  return std::min({by_time, share, chunk.count});
}

std::optional<std::size_t> Scheduler::choose() const {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    Worker const& worker = workers_[i];
    if (!worker.ready || worker.full || worker.settling) continue;
    if (worker.given >= most_per_worker_) continue;
    if (worker.chunks == 0) return i;
    bool const room = worker.chunks < 2 || worker.ahead_ns < ahead_ns;
    if (expect_more_ || !room) continue;
    if (!best || worker.ahead_ns < workers_[*best].ahead_ns ||
        (worker.ahead_ns == workers_[*best].ahead_ns && worker.chunks < workers_[*best].chunks)) {
      best = i;
    }
  }
  return best;
}

std::optional<Scheduler::Assignment> Scheduler::next() {
  if (queues_.empty()) return std::nullopt;
  auto const chosen = choose();
  if (!chosen) return std::nullopt;
  auto const queue = queues_.begin();
  Chunk& front = queue->second.front();
  Worker& worker = workers_[*chosen];
  std::uint64_t const left = most_per_worker_ - worker.given;
  Assignment assignment{*chosen, front.take_front(std::min(portion(front), left))};
  if (front.count == 0) queue->second.pop_front();
  if (queue->second.empty()) queues_.erase(queue);
  waiting_ -= assignment.chunk.count;

  worker.given += assignment.chunk.count;
  worker.elements += assignment.chunk.count;
  worker.chunks += 1;
  double const each = cost(assignment.chunk.task->function().code);
  // Of an unknown cost one portion is plenty and two are enough.
  worker.ahead_ns += each > 0 ? each * static_cast<double>(assignment.chunk.count) : ahead_ns;
  return assignment;
}

void Scheduler::refused(Assignment const& assignment) {
  Worker& worker = workers_[assignment.worker];
  worker.elements -= std::min(worker.elements, assignment.chunk.count);
  worker.given -= std::min(worker.given, assignment.chunk.count);
  worker.chunks -= std::min<std::size_t>(worker.chunks, 1);
  worker.full = true;
  update(worker);
}

void Scheduler::retry() noexcept {
  for (Worker& worker : workers_) worker.full = false;
}

void Scheduler::update(Worker& worker) {
  if (worker.elements == 0 || worker.chunks == 0) worker.ahead_ns = 0;
  worker.ahead_ns = std::max(0.0, worker.ahead_ns);
}

void Scheduler::finished(std::size_t index, detail::Trampoline code, std::uint64_t elements,
                         std::size_t ended_chunks, std::uint64_t nanoseconds, TimePoint now) {
  Worker& worker = workers_[index];
  double const before = cost(code);
  if (nanoseconds != 0 && elements != 0) {
    double const measured = static_cast<double>(nanoseconds) / static_cast<double>(elements);
    costs_[code] = before <= 0 ? measured : (before + measured) / 2;
  }
  worker.ahead_ns -= before > 0 ? before * static_cast<double>(elements)
                                : ahead_ns * static_cast<double>(ended_chunks);
  worker.elements -= std::min(worker.elements, elements);
  worker.chunks -= std::min(worker.chunks, ended_chunks);
  worker.full = false;
  worker.progress = now;
  update(worker);
}

// ---- balance

std::optional<Scheduler::TakeBack> Scheduler::imbalance(TimePoint now, bool& look_again) const {
  look_again = false;
  if (!queues_.empty()) return std::nullopt;
  bool const idle = std::ranges::any_of(workers_, [this](Worker const& w) {
    return w.ready && w.chunks == 0 && !w.settling && w.given < most_per_worker_;
  });
  if (!idle) return std::nullopt;
  std::optional<TakeBack> found;
  double most = 0;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    Worker const& worker = workers_[i];
    if (!worker.ready || worker.settling || worker.elements < 2) continue;
    bool const stuck = now - worker.progress >= stuck_after;
    if (!stuck) look_again = true;
    if (!stuck && worker.ahead_ns < 2 * ahead_ns) continue;
    if (worker.ahead_ns < most) continue;
    most = worker.ahead_ns;
    // One is being worked on. Of the others half, but all if they wait behind something long.
    found = TakeBack{i, stuck ? worker.elements - 1 : worker.elements / 2};
  }
  return found;
}

void Scheduler::taken_back(std::size_t index, std::uint64_t elements, std::size_t chunks) {
  Worker& worker = workers_[index];
  double const share = worker.elements == 0
                           ? 0
                           : static_cast<double>(elements) / static_cast<double>(worker.elements);
  worker.ahead_ns -= worker.ahead_ns * share;
  worker.elements -= std::min(worker.elements, elements);
  worker.given -= std::min(worker.given, elements);
  worker.chunks -= std::min(worker.chunks, chunks);
  worker.settling = true;
  update(worker);
}

void Scheduler::settled(std::size_t worker) {
  workers_[worker].settling = false;
  workers_[worker].full = false;
}

}  // namespace procpool::inline v0::local
