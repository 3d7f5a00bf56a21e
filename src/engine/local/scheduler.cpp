#include "engine/local/scheduler.hpp"

#include <algorithm>
#include <utility>

namespace procpool::inline v0::local {

// ---- the queue

void Scheduler::add(Chunk chunk) {
  waiting_ += chunk.count;
  queue_.push_back(std::move(chunk));
}

void Scheduler::give_back(Chunk chunk) {
  waiting_ += chunk.count;
  queue_.push_front(std::move(chunk));
}

std::vector<Chunk> Scheduler::remove(detail::Task const& task, std::uint64_t first) {
  std::vector<Chunk> removed;
  std::deque<Chunk> kept;
  for (Chunk& chunk : queue_) {
    if (chunk.task.get() == &task) {
      if (Chunk unwanted = chunk.take_from(first); unwanted.count != 0) {
        waiting_ -= unwanted.count;
        removed.push_back(std::move(unwanted));
      }
      if (chunk.count == 0) continue;
    }
    kept.push_back(std::move(chunk));
  }
  queue_ = std::move(kept);
  return removed;
}

std::vector<Chunk> Scheduler::remove_expired() {
  std::vector<Chunk> removed;
  std::deque<Chunk> kept;
  for (Chunk& chunk : queue_) {
    if (chunk.batch->expired()) {
      waiting_ -= chunk.count;
      removed.push_back(std::move(chunk));
    } else {
      kept.push_back(std::move(chunk));
    }
  }
  queue_ = std::move(kept);
  return removed;
}

std::vector<Chunk> Scheduler::remove_all() {
  std::vector<Chunk> removed(std::make_move_iterator(queue_.begin()),
                             std::make_move_iterator(queue_.end()));
  queue_.clear();
  waiting_ = 0;
  return removed;
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
  if (queue_.empty()) return std::nullopt;
  auto const chosen = choose();
  if (!chosen) return std::nullopt;
  Chunk& front = queue_.front();
  Assignment assignment{*chosen, front.take_front(portion(front))};
  if (front.count == 0) queue_.pop_front();
  waiting_ -= assignment.chunk.count;

  Worker& worker = workers_[*chosen];
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
  if (!queue_.empty()) return std::nullopt;
  bool const idle = std::ranges::any_of(
      workers_, [](Worker const& w) { return w.ready && w.chunks == 0 && !w.settling; });
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
  worker.chunks -= std::min(worker.chunks, chunks);
  worker.settling = true;
  update(worker);
}

void Scheduler::settled(std::size_t worker) {
  workers_[worker].settling = false;
  workers_[worker].full = false;
}

}  // namespace procpool::inline v0::local
