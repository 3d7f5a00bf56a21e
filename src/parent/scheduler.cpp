#include "parent/scheduler.hpp"

#include "engine/patience.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace procpool::inline v0::parent {
namespace {

constexpr std::size_t max_keys = std::size_t{1} << 20;

}  // namespace

double even_share(std::size_t index) {
  constexpr double golden = 0.6180339887498949;
  double const turns = static_cast<double>(index) * golden;
  return turns - std::floor(turns);
}

// ---- the queue

// No queue is ever empty: where there is no memory for its first chunk, it goes again.
void Scheduler::add(Chunk chunk) {
  std::uint64_t const count = chunk.count;
  chunk.order = ++order_;
  Queues& queues = queues_for(chunk);
  int const priority = chunk.task->priority();
  Queue& queue = queue_in(queues, priority);
  try {
    queue.push_back(std::move(chunk));
  } catch (...) {
    if (queue.empty()) queues.erase(priority);
    throw;
  }
  waiting_ += count;
}

void Scheduler::requeue(Chunk chunk) {
  std::uint64_t const count = chunk.count;
  detail::patiently([&] {
    Queue& queue = queue_in(queues_for(chunk), chunk.task->priority());
    // Empty for no longer than the lock is held.
    detail::patiently([&] { queue.push_front(std::move(chunk)); });
  });
  waiting_ += count;
}

Scheduler::Queue& Scheduler::queue_in(Queues& queues, int priority) {
  if (spare_ && !queues.contains(priority)) {
    spare_.key() = priority;
    return queues.insert(std::move(spare_)).position->second;
  }
  return queues[priority];
}

void Scheduler::drop(Queues& queues, Queues::iterator queue) { spare_ = queues.extract(queue); }

Scheduler::Queues& Scheduler::queues_for(Chunk const& chunk) {
  auto const& key = chunk.task->key();
  return key ? workers_[worker_for(*key)].own : queues_;
}

std::size_t Scheduler::worker_for(Key key) {
  auto const [place, is_new] = keys_.try_emplace(key.value(), 0);
  if (!is_new) return place->second;
  // Bound keys of a program that never ends, and never uses a key twice, must not fill its memory.
  if (keys_.size() > max_keys) {
    keys_.clear();
    for (Worker& worker : workers_) worker.keys = 0;
    return worker_for(key);
  }
  // The fewest keys; among equals one that is there, and has the least to do.
  auto const better = [this](Worker const& a, Worker const& b) {
    if (only_ready_ && a.ready != b.ready) return a.ready;
    if (a.keys != b.keys) return a.keys < b.keys;
    if (a.ready != b.ready) return a.ready;
    return a.elements < b.elements;
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < usable_; ++i) {
    if (better(workers_[i], workers_[best])) best = i;
  }
  ++workers_[best].keys;
  return place->second = best;
}

void Scheduler::resize(std::size_t workers) {
  if (workers > workers_.size()) workers_.resize(workers);
  usable_ = workers;
  std::erase_if(keys_, [this](auto const& bound) { return bound.second >= usable_; });
  for (std::size_t i = usable_; i < workers_.size(); ++i) hand_over(workers_[i]);
}

void Scheduler::hand_over(Worker& worker) {
  worker.keys = 0;
  for (auto& [priority, queue] : std::exchange(worker.own, {})) {
    for (Chunk& chunk : queue) {
      detail::patiently([&, at = priority] { queues_for(chunk)[at].push_back(std::move(chunk)); });
    }
  }
}

void Scheduler::count_on_ready_ones() {
  if (std::ranges::none_of(workers_, &Worker::ready)) return;
  only_ready_ = true;
  // Who leaves, and still has some of a key's elements, keeps the rest behind them.
  auto const gone = [](Worker const& worker) { return !worker.ready && worker.elements == 0; };
  std::erase_if(keys_, [&](auto const& bound) { return gone(workers_[bound.second]); });
  for (Worker& worker : workers_) {
    if (gone(worker)) hand_over(worker);
  }
}

Chunks Scheduler::remove_where(std::function<Chunk(Chunk&)> const& which) {
  Chunks removed;
  auto const remove_from = [&](Queues& queues) {
    for (auto queue = queues.begin(); queue != queues.end();) {
      for (Chunk& chunk : queue->second) {
        Chunk cut = which(chunk);
        if (cut.count == 0) continue;
        waiting_ -= cut.count;
        detail::patiently([&] { removed.push_back(std::move(cut)); });
      }
      std::erase_if(queue->second, [](Chunk const& chunk) { return chunk.count == 0; });
      queue = queue->second.empty() ? queues.erase(queue) : std::next(queue);
    }
  };
  remove_from(queues_);
  for (Worker& worker : workers_) remove_from(worker.own);
  return removed;
}

Chunks Scheduler::remove(detail::Task const& task, std::uint64_t first) {
  return remove_where(
      [&](Chunk& chunk) { return chunk.task.get() == &task ? chunk.take_from(first) : Chunk(); });
}

Chunks Scheduler::remove_expired() {
  return remove_where([](Chunk& chunk) { return chunk.expired() ? chunk.split_off(0) : Chunk(); });
}

Chunks Scheduler::remove_all() {
  return remove_where([](Chunk& chunk) { return chunk.split_off(0); });
}

// ---- the workers

void Scheduler::Worker::begin_anew() {
  Worker fresh;
  fresh.own = std::move(own);
  fresh.keys = keys;
  fresh.lives = lives;
  fresh.asked = asked;
  fresh.revocation_done = revocation_done;
  *this = std::move(fresh);
}

void Scheduler::worker_ready(std::size_t index, TimePoint now) {
  Worker& worker = workers_[index];
  only_ready_ = false;
  worker.begin_anew();
  worker.ready = true;
  worker.progress = now;
  worker.most = max_per_worker_;
  // The first ones get less, each another share of a half, so that not all are replaced together.
  constexpr std::uint64_t worth_it = 16;
  if (worker.lives++ == 0 && max_per_worker_ >= worth_it &&
      max_per_worker_ != std::numeric_limits<std::uint64_t>::max()) {
    worker.most -=
        static_cast<std::uint64_t>(static_cast<double>(max_per_worker_) / 2 * even_share(index));
  }
}

void Scheduler::worker_leaves(std::size_t worker) { workers_[worker].ready = false; }

void Scheduler::worker_gone(std::size_t worker) { workers_[worker].begin_anew(); }

std::optional<Scheduler::TimePoint> Scheduler::idle_since(std::size_t index) const noexcept {
  Worker const& worker = workers_[index];
  if (!worker.ready || worker.elements != 0 || !worker.own.empty()) return std::nullopt;
  return worker.progress;
}

std::uint64_t Scheduler::busy_workers() const noexcept {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(workers_, [](Worker const& w) { return w.elements != 0; }));
}

// ---- placing

double Scheduler::cost(detail::Trampoline code) const {
  auto const found = costs_.find(code);
  return found == costs_.end() ? 0 : found->second;
}

std::uint64_t Scheduler::grain(Chunk const& chunk, double each) const {
  if (chunk.count == 1) return 1;
  std::uint64_t const by_hand = chunk.task->chunk();
  if (each <= 0) return std::min(std::max<std::uint64_t>(by_hand, 1), chunk.count);
  auto const lasting = [each](double nanoseconds) {
    return static_cast<std::uint64_t>(std::max(1.0, nanoseconds / each));
  };
  // Half of an even share: the closer the end, the smaller the portions, so that all workers end
  // together.
  auto const workers = static_cast<std::uint64_t>(
      std::max<std::ptrdiff_t>(1, std::ranges::count_if(workers_, &Worker::ready)));
  std::uint64_t const share = std::max(lasting(min_grain_ns), waiting_ / (2 * workers));
  std::uint64_t const within = chunk.elements_within(grain_bytes_);
  if (by_hand != 0) {
    std::uint64_t const some = std::min({lasting(several_chunks_ns), share, within});
    return std::min(std::max<std::uint64_t>(1, some / by_hand) * by_hand, chunk.count);
  }
  return std::min({lasting(grain_ns), share, within});
}

bool Scheduler::takes_more(Worker const& worker) const {
  if (!worker.ready || worker.full || worker.revoking() || worker.given >= worker.most)
    return false;
  if (worker.chunks == 0) return true;
  return !expect_more_ && (worker.chunks < 2 || worker.backlog_ns < backlog_ns);
}

std::optional<std::size_t> Scheduler::choose(double each) const {
  std::optional<std::size_t> idle;
  std::optional<std::size_t> best;  // of those that are at work
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    Worker const& worker = workers_[i];
    if (!takes_more(worker)) continue;
    if (worker.chunks == 0) {
      if (!idle) idle = i;
      // Whoever waits for something that takes its time is not to wait behind another.
      if (each <= 0 || each >= worth_waking_ns) break;
    } else if (!best || worker.backlog_ns < workers_[*best].backlog_ns ||
               (worker.backlog_ns == workers_[*best].backlog_ns &&
                worker.chunks < workers_[*best].chunks)) {
      best = i;
    }
  }
  if (!idle) return best;
  bool const soon =
      best && each > 0 && workers_[*best].backlog_ns + each < worth_waking_ns && !expect_more_;
  return soon ? best : idle;
}

std::optional<std::size_t> Scheduler::choose_affine() const {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i].own.empty() || workers_[i].placing || !takes_more(workers_[i])) continue;
    if (workers_[i].chunks == 0) return i;
    best = i;
  }
  return best;
}

std::optional<Scheduler::Assignment> Scheduler::next() {
  if (waiting_ == 0) return std::nullopt;
  std::optional<std::size_t> chosen;
  if (!queues_.empty()) {
    Chunk const& front = queues_.begin()->second.front();
    chosen = choose(cost(front.task->function().code));
  }
  if (!chosen && !keys_.empty()) chosen = choose_affine();
  if (!chosen) return std::nullopt;
  Worker& worker = workers_[*chosen];
  // Of what is for anybody and what is for this one, the more urgent, or the older.
  auto const goes_first = [](Queues const& a, Queues const& b) {
    if (a.empty() || b.empty()) return b.empty();
    if (a.begin()->first != b.begin()->first) return a.begin()->first > b.begin()->first;
    return a.begin()->second.front().order < b.begin()->second.front().order;
  };
  bool const anybodys =
      worker.placing ? true : goes_first(queues_, worker.own);  // then queues_ is not empty
  Queues& queues = anybodys ? queues_ : worker.own;
  return Assignment{*chosen, take(worker, queues)};
}

std::optional<std::size_t> Scheduler::coalescing_worker() const {
  if (queues_.empty() || !keys_.empty()) return std::nullopt;
  Chunk const& front = queues_.begin()->second.front();
  // What is large has its own way.
  constexpr std::size_t small = 256;
  if (front.count != 1 || front.bytes().size() > small) return std::nullopt;
  double const each = cost(front.task->function().code);
  return each > 0 && each <= coalesce_ns ? choose(each) : std::nullopt;
}

bool Scheduler::coalesces() const {
  auto const has_enough = [](Worker const& w) { return w.chunks >= enough_chunks; };
  if (waiting_ >= max_coalesced || std::ranges::none_of(workers_, has_enough)) return false;
  auto const worker = coalescing_worker();
  return worker && has_enough(workers_[*worker]);
}

std::optional<Chunk> Scheduler::next_coalesced(std::size_t worker) {
  if (coalescing_worker() != worker) return std::nullopt;
  return take(workers_[worker], queues_);
}

Chunk Scheduler::take(Worker& worker, Queues& queues) {
  auto const queue = queues.begin();
  Chunk& front = queue->second.front();
  std::uint64_t const left = worker.most - worker.given;
  double const each = cost(front.task->function().code);
  Chunk chunk = front.take_front(std::min(grain(front, each), left));
  if (front.count == 0) queue->second.pop_front();
  if (queue->second.empty()) drop(queues, queue);
  waiting_ -= chunk.count;

  int const priority = chunk.task->priority();
  worker.priority = worker.elements == 0 ? priority : std::min(worker.priority, priority);
  min_priority_ = std::min(min_priority_, priority);
  worker.given += chunk.count;
  worker.elements += chunk.count;
  worker.chunks += 1;
  bool const has_key = chunk.task->key().has_value();
  worker.keyed = worker.keyed || has_key;
  worker.placing = worker.placing || has_key;
  worker.backlog_ns += backlog(chunk, each);
  return chunk;
}

double Scheduler::backlog(Chunk const& chunk, double each) {
  // Of an unknown cost one portion is plenty and two are enough.
  return each > 0 ? each * static_cast<double>(chunk.count) : backlog_ns;
}

void Scheduler::refused(std::size_t index, Chunk const& chunk) {
  Worker& worker = workers_[index];
  worker.backlog_ns -= backlog(chunk, cost(chunk.task->function().code));
  worker.elements -= std::min(worker.elements, chunk.count);
  worker.given -= std::min(worker.given, chunk.count);
  worker.chunks -= std::min<std::size_t>(worker.chunks, 1);
  worker.full = true;
  worker.placing = false;
  update(worker);
}

void Scheduler::retry() noexcept {
  for (Worker& worker : workers_) worker.full = false;
}

void Scheduler::update(Worker& worker) {
  if (worker.elements == 0 || worker.chunks == 0) worker.backlog_ns = 0;
  if (worker.elements == 0) worker.keyed = false;
  worker.backlog_ns = std::max(0.0, worker.backlog_ns);
}

void Scheduler::finished(std::size_t index, detail::Trampoline code, std::uint64_t elements,
                         std::size_t ended_chunks, std::uint64_t nanoseconds, TimePoint now) {
  Worker& worker = workers_[index];
  double& known = costs_[code];
  double const before = known;
  if (nanoseconds != 0 && elements != 0) {
    auto const many = static_cast<double>(elements);
    double const measured = static_cast<double>(nanoseconds) / many;
    // The more elements a measurement is of, the more it says; the first one may be of one, and include
    // the loading of the function.
    constexpr double enough = 8;
    double const weight = std::max(0.5, many / (many + enough));
    known = before <= 0 ? measured : before + weight * (measured - before);
  }
  worker.backlog_ns -= before > 0 ? before * static_cast<double>(elements)
                                  : backlog_ns * static_cast<double>(ended_chunks);
  worker.elements -= std::min(worker.elements, elements);
  worker.chunks -= std::min(worker.chunks, ended_chunks);
  worker.full = false;
  worker.progress = now;
  update(worker);
}

// ---- balance

std::optional<Scheduler::Revocation> Scheduler::preemption() const {
  auto const& [urgent, queue] = *queues_.begin();
  std::uint64_t giving_up = 0;
  std::optional<std::size_t> most;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    Worker const& worker = workers_[i];
    if (takes_more(worker)) return std::nullopt;
    if (worker.revoking()) ++giving_up;
    if (!worker.ready || worker.revoking() || worker.keyed || worker.elements < 2) continue;
    if (worker.priority >= urgent || worker.backlog_ns < 2 * backlog_ns) continue;
    if (!most || worker.backlog_ns > workers_[*most].backlog_ns) most = i;
  }
  // As many as there are urgent elements. Each takes what is urgent when what it has begun has ended.
  std::uint64_t waiting = 0;
  for (auto chunk = queue.begin(); chunk != queue.end() && waiting <= giving_up; ++chunk) {
    waiting += chunk->count;
  }
  if (!most || waiting <= giving_up) return std::nullopt;
  return Revocation{*most, workers_[*most].elements - 1};
}

std::optional<Scheduler::Revocation> Scheduler::steal(TimePoint now, bool& look_again) {
  look_again = false;
  min_priority_ = std::numeric_limits<int>::max();
  for (Worker const& worker : workers_) {
    if (worker.elements != 0) min_priority_ = std::min(min_priority_, worker.priority);
  }
  if (!queues_.empty()) return preemption();
  bool const idle = std::ranges::any_of(workers_, [](Worker const& w) {
    return w.ready && w.chunks == 0 && !w.revoking() && w.given < w.most;
  });
  if (!idle) return std::nullopt;
  std::optional<Revocation> found;
  double most = 0;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    Worker const& worker = workers_[i];
    if (!worker.ready || worker.revoking() || worker.keyed || worker.elements < 2) continue;
    bool const blocked = now - worker.progress >= blocked_after;
    if (!blocked) look_again = true;
    if (!blocked && worker.backlog_ns < 2 * backlog_ns) continue;
    if (worker.backlog_ns < most) continue;
    most = worker.backlog_ns;
    // One is being worked on. Of the others half, but all if they wait behind something long.
    found = Revocation{i, blocked ? worker.elements - 1 : worker.elements / 2};
  }
  return found;
}

void Scheduler::revoked(std::size_t index, std::uint64_t elements, std::size_t chunks,
                        std::uint64_t number) {
  Worker& worker = workers_[index];
  double const share = worker.elements == 0
                           ? 0
                           : static_cast<double>(elements) / static_cast<double>(worker.elements);
  worker.backlog_ns -= worker.backlog_ns * share;
  worker.elements -= std::min(worker.elements, elements);
  worker.given -= std::min(worker.given, elements);
  worker.chunks -= std::min(worker.chunks, chunks);
  worker.asked = std::max(worker.asked, number);
  update(worker);
}

void Scheduler::revocation_done(std::size_t index, std::uint64_t number) {
  Worker& worker = workers_[index];
  worker.revocation_done = std::max(worker.revocation_done, number);
  worker.full = false;
}

}  // namespace procpool::inline v0::parent
