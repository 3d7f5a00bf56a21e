// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/scheduler.hpp"

#include "engine/patience.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

namespace procpool::inline v0_1::parent {
namespace {

constexpr std::size_t max_keys = std::size_t{1} << 20;

bool is_older(Chunk const& a, Chunk const& b) noexcept {
  return a.order != b.order ? a.order < b.order : a.first < b.first;
}

}  // namespace

double even_share(std::size_t index) {
  constexpr double golden = 0.6180339887498949;
  double const turns = static_cast<double>(index) * golden;
  return turns - std::floor(turns);
}

Scheduler::Scheduler(std::size_t workers, std::uint64_t max_per_worker, std::uint64_t grain_bytes,
                     Keys keys)
    : max_per_worker_(max_per_worker),
      grain_bytes_(grain_bytes),
      keys_are_(keys),
      usable_(workers),
      workers_(workers),
      idle_(workers),
      busy_(workers),
      affine_(workers) {}

// ---- the queue

// No queue is ever empty: if there is no memory for its first chunk, the queue goes again.
void Scheduler::add(Chunk&& chunk) {
  std::uint64_t const count = chunk.count;
  chunk.order = ++order_;
  auto const worker = affinity(chunk);
  Queues& queues = worker ? workers_[*worker].own : queues_;
  int const priority = chunk.task->priority();
  Queue& queue = queue_in(queues, priority);
  try {
    queue.push_back(std::move(chunk));
  } catch (...) {
    if (queue.empty()) queues.erase(priority);
    throw;
  }
  waiting_ += count;
  if (worker) update(*worker);
}

void Scheduler::requeue(Chunk&& chunk) {
  std::uint64_t const count = chunk.count;
  chunk.estimate_ns = 0;
  auto const worker = detail::patiently([&] { return affinity(chunk); });
  detail::patiently([&] {
    Queue& queue = queue_in(worker ? workers_[*worker].own : queues_, chunk.task->priority());
    // Empty for no longer than the lock is held.
    detail::patiently([&] { queue.push_front(std::move(chunk)); });
    if (!worker) return;
    // Mostly it is the oldest. Another thread may have brought older ones back before.
    for (auto at = queue.begin(), next = at + 1; next != queue.end() && is_older(*next, *at);
         at = next++) {
      std::iter_swap(at, next);
    }
  });
  waiting_ += count;
  if (worker) update(*worker);
}

void Scheduler::came_back(std::size_t worker, std::uint64_t elements) {
  workers_[worker].came_back += elements;
  update(worker);
}

Scheduler::Queue& Scheduler::queue_in(Queues& queues, int priority) {
  if (spare_ && !queues.contains(priority)) {
    spare_.key() = priority;
    return queues.insert(std::move(spare_)).position->second;
  }
  return queues[priority];
}

void Scheduler::drop(Queues& queues, Queues::iterator queue) { spare_ = queues.extract(queue); }

std::optional<std::size_t> Scheduler::affinity(Chunk const& chunk) {
  auto const& key = chunk.task->key();
  if (!key) return std::nullopt;
  return chunk.task->on_each_worker() ? static_cast<std::size_t>(chunk.first) : worker_for(*key);
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
  std::size_t const worker = keys_are_ == Keys::are_workers ? key.value() : best_worker();
  ++workers_[worker].keys;
  return place->second = worker;
}

std::size_t Scheduler::best_worker() const {
  // The fewest keys; among equals one that is there, and has the least to do.
  auto const better = [this](Worker const& a, Worker const& b) {
    if (only_ready_ && a.ready != b.ready) return a.ready;
    if (a.keys != b.keys) return a.keys < b.keys;
    if (a.ready != b.ready) return a.ready;
    return a.ahead.elements < b.ahead.elements;
  };
  std::size_t best = 0;
  for (std::size_t i = 1; i < usable_; ++i) {
    if (better(workers_[i], workers_[best])) best = i;
  }
  return best;
}

void Scheduler::resize(std::size_t workers) {
  if (workers > workers_.size()) {
    // Last the workers: a resize that found no memory for all of it is done again.
    for (Ranking* const ranking : {&idle_, &busy_, &affine_}) ranking->resize(workers);
    workers_.resize(workers);
  }
  usable_ = workers;
  std::erase_if(keys_, [this](auto const& bound) { return bound.second >= usable_; });
  for (std::size_t i = usable_; i < workers_.size(); ++i) hand_over(workers_[i]);
  sort_own();
  update_all();
}

void Scheduler::hand_over(Worker& worker) {
  worker.keys = 0;
  for (auto& [priority, queue] : std::exchange(worker.own, {})) {
    for (Chunk& chunk : queue) {
      detail::patiently([&, at = priority] {
        auto const other = affinity(chunk);
        (other ? workers_[*other].own : queues_)[at].push_back(std::move(chunk));
      });
    }
  }
}

void Scheduler::sort_own() {
  for (Worker& worker : workers_) {
    for (auto& [priority, queue] : worker.own) std::ranges::sort(queue, is_older);
  }
}

void Scheduler::count_on_ready_ones() {
  if (ready_workers_ == 0) return;
  only_ready_ = true;
  // A worker that leaves, and still has elements of a key, keeps the rest behind them.
  auto const gone = [](Worker const& worker) {
    return !worker.ready && worker.ahead.elements == 0 && !worker.awaits_returned();
  };
  std::erase_if(keys_, [&](auto const& bound) { return gone(workers_[bound.second]); });
  for (Worker& worker : workers_) {
    if (gone(worker)) hand_over(worker);
  }
  sort_own();
  update_all();
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
  update_all();
  return removed;
}

Chunks Scheduler::remove(detail::Task const& task, std::uint64_t first) {
  return remove_where(
      [&](Chunk& chunk) { return chunk.task.get() == &task ? chunk.take_from(first) : Chunk(); });
}

Chunks Scheduler::remove_cancelled() {
  return remove_where([](Chunk& chunk) {
    std::uint64_t const end = chunk.task->cancelled_from();
    return end < chunk.end() ? chunk.take_from(end) : Chunk();
  });
}

Chunks Scheduler::remove_expired() {
  return remove_where([](Chunk& chunk) { return chunk.expired() ? chunk.split_off(0) : Chunk(); });
}

Chunks Scheduler::remove_own(std::size_t worker) {
  Chunks removed;
  for (auto& [priority, queue] : std::exchange(workers_[worker].own, {})) {
    for (Chunk& chunk : queue) {
      waiting_ -= chunk.count;
      detail::patiently([&] { removed.push_back(std::move(chunk)); });
    }
  }
  update(worker);
  return removed;
}

Chunks Scheduler::remove_of_vacant_places() {
  return remove_where([this](Chunk& chunk) {
    bool const vacant = chunk.task->on_each_worker() && !workers_[chunk.first].ready;
    return vacant ? chunk.split_off(0) : Chunk();
  });
}

Chunks Scheduler::remove_all() {
  return remove_where([](Chunk& chunk) { return chunk.split_off(0); });
}

// ---- the workers

bool Scheduler::Worker::takes_more() const noexcept {
  return open && load.writable && !load.revoking && given() < max_given &&
         (ahead.chunks < 2 || ahead.estimate_ns < backlog_ns);
}

void Scheduler::update(std::size_t index) {
  Worker& worker = workers_[index];
  bool const was_busy = worker.ahead.elements != 0;
  Amount const on_its_way = worker.on_its_way();
  worker.ahead = worker.load.held + on_its_way;
  bool const is_busy = worker.ahead.elements != 0;
  busy_workers_ += static_cast<std::uint64_t>(is_busy) - static_cast<std::uint64_t>(was_busy);

  bool const takes_more = worker.takes_more();
  bool const idle = worker.ahead.chunks == 0;
  // By the estimate, and among equal ones by the number of chunks.
  constexpr std::uint64_t max_chunks = 0xffff;
  constexpr std::uint64_t max_estimate = Ranking::no_candidate / (max_chunks + 1) - 1;
  std::uint64_t const backlog =
      std::min(worker.ahead.estimate_ns, max_estimate) * (max_chunks + 1) +
      std::min(worker.ahead.chunks, max_chunks);
  idle_.set(index, takes_more && idle ? 0 : Ranking::no_candidate);
  busy_.set(index, takes_more && !idle ? backlog : Ranking::no_candidate);
  Ranking::Key affine = Ranking::no_candidate;
  if (takes_more && worker.takes_own()) {
    affine = idle ? 0 : own_waits_for_company(worker) ? 2 : 1;
  }
  affine_.set(index, affine);
}

void Scheduler::update_all() {
  for (std::size_t i = 0; i < workers_.size(); ++i) update(i);
}

void Scheduler::set_ready(std::size_t index, bool ready) {
  bool const was_ready = std::exchange(workers_[index].ready, ready);
  workers_[index].open = ready && !paused_;
  ready_workers_ += static_cast<std::uint64_t>(ready) - static_cast<std::uint64_t>(was_ready);
  update(index);
}

void Scheduler::pause(bool paused) {
  if (std::exchange(paused_, paused) == paused) return;
  for (Worker& worker : workers_) worker.open = worker.ready && !paused;
  update_all();
}

void Scheduler::worker_ready(std::size_t index, TimePoint now) {
  Worker& worker = workers_[index];
  only_ready_ = false;
  worker.progress = now;
  worker.max_given = max_per_worker_;
  // The first ones get less, each another share of a half, so that not all are replaced together.
  constexpr std::uint64_t worth_it = 16;
  if (worker.lives++ == 0 && max_per_worker_ >= worth_it &&
      max_per_worker_ != std::numeric_limits<std::uint64_t>::max()) {
    worker.max_given -=
        static_cast<std::uint64_t>(static_cast<double>(max_per_worker_) / 2 * even_share(index));
  }
  set_ready(index, true);
}

bool Scheduler::waits_for_more_workers() const noexcept {
  return waits_for_any() || std::ranges::any_of(workers_, [](Worker const& worker) {
           return !worker.ready && !worker.own.empty();
         });
}

void Scheduler::worker_leaves(std::size_t worker) { set_ready(worker, false); }

void Scheduler::worker_gone(std::size_t worker) { set_ready(worker, false); }

std::optional<Scheduler::TimePoint> Scheduler::idle_since(std::size_t index) const noexcept {
  Worker const& worker = workers_[index];
  if (!worker.ready || worker.ahead.elements != 0 || !worker.own.empty()) return std::nullopt;
  return worker.progress;
}

void Scheduler::observe(std::size_t index, Load const& load, TimePoint now) {
  Worker& worker = workers_[index];
  if (load.version <= worker.load.version) return;
  if (load.answered != worker.load.answered) worker.progress = now;
  worker.load = load;
  update(index);
}

void Scheduler::measure(detail::Trampoline code, std::uint64_t elements,
                        std::uint64_t nanoseconds) {
  if (nanoseconds == 0 || elements == 0) return;
  double& known = costs_[code];
  auto const many = static_cast<double>(elements);
  double const measured = static_cast<double>(nanoseconds) / many;
  // The more elements a measurement is of, the more it says; the first one may be of one, and include
  // the loading of the function.
  constexpr double enough = 8;
  double const weight = std::max(0.5, many / (many + enough));
  known = known <= 0 ? measured : known + weight * (measured - known);
}

void Scheduler::retry() noexcept {
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    Worker& worker = workers_[i];
    if (worker.load.writable || worker.ahead.chunks != 0) continue;
    worker.load.writable = true;
    update(i);
  }
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
  // Half of an even share: the closer the end, the smaller the chunks, so that all workers end
  // together.
  std::uint64_t const workers = std::max<std::uint64_t>(1, ready_workers_);
  std::uint64_t const share = std::max(lasting(min_grain_ns), waiting_ / (2 * workers));
  std::uint64_t const within = chunk.elements_within(grain_bytes_);
  if (by_hand != 0) {
    std::uint64_t const some = std::min({lasting(several_chunks_ns), share, within});
    return std::min(std::max<std::uint64_t>(1, some / by_hand) * by_hand, chunk.count);
  }
  return std::min({lasting(grain_ns), share, within});
}

std::optional<std::size_t> Scheduler::choose(double each) const {
  auto const idle = idle_.first();
  // An element that takes its time does not wait behind another one.
  if (idle && (each <= 0 || each >= worth_waking_ns)) return idle;
  auto const busy = expect_more_ ? std::nullopt : busy_.first();
  if (!idle) return busy;
  bool const soon =
      busy && static_cast<double>(workers_[*busy].ahead.estimate_ns) + each < worth_waking_ns;
  return soon ? busy : idle;
}

std::optional<std::size_t> Scheduler::choose_affine(Coalescing coalescing) const {
  auto const worker = affine_.first();
  bool const waits =
      worker && coalescing == Coalescing::waits && own_waits_for_company(workers_[*worker]);
  return waits ? std::nullopt : worker;
}

bool Scheduler::coalesces(Chunk const& chunk, double each) const {
  constexpr std::size_t max_bytes = 256;
  return chunk.count == 1 && each > 0 && each <= coalesce_ns && chunk.bytes().size() <= max_bytes;
}

bool Scheduler::own_waits_for_company(Worker const& worker) const {
  if (!worker.has_enough()) return false;
  Queue const& queue = worker.own.begin()->second;
  Chunk const& front = queue.front();
  return queue.size() < max_coalesced && coalesces(front, cost(front.task->function().code));
}

bool Scheduler::next(Group& group, Coalescing coalescing) {
  if (waiting_ == 0) return false;
  detail::Trampoline code = nullptr;
  double each = 0;  // of this code
  // A worker for what any worker may get, unless that waits for company.
  std::optional<std::size_t> chosen;
  if (!queues_.empty()) {
    Chunk const& front = front_of(queues_);
    code = front.task->function().code;
    each = cost(code);
    chosen = choose(each);
    bool const waits = chosen && coalescing == Coalescing::waits && waiting_ < max_coalesced &&
                       workers_[*chosen].has_enough() && coalesces(front, each);
    if (waits) chosen.reset();
  }
  bool const takes_any = chosen.has_value();
  if (!chosen) chosen = choose_affine(coalescing);
  if (!chosen) return false;
  Worker& worker = workers_[*chosen];
  bool const takes_own = worker.takes_own();
  group.worker = *chosen;
  group.keyed.reset();
  do {
    // Of what is for any worker and what is for this one, the more urgent goes, or the older.
    bool const any = takes_any && !queues_.empty();
    bool const own = takes_own && !worker.own.empty() && (!any || goes_first(worker.own, queues_));
    if (!any && !own) break;
    Queues& queues = own ? worker.own : queues_;
    Chunk const& front = front_of(queues);
    if (auto const next = front.task->function().code; next != code) each = cost(code = next);
    if (group.chunks.empty()) {
      group.each = each;
    } else if (!coalesces(front, each) || (own ? !worker.takes_more() : choose(each) != chosen)) {
      break;
    }
    if (own) group.keyed = worker.load.returned;
    group.chunks.push_back(take(*chosen, queues, each));
  } while (group.chunks.size() != max_coalesced);
  return true;
}

bool Scheduler::goes_first(Queues const& ours, Queues const& theirs) {
  int const priority = ours.begin()->first;
  int const other = theirs.begin()->first;
  return priority != other ? priority > other : is_older(front_of(ours), front_of(theirs));
}

Chunk Scheduler::take(std::size_t index, Queues& queues, double each) {
  Worker& worker = workers_[index];
  auto const queue = queues.begin();
  Chunk& front = queue->second.front();
  std::uint64_t const left = worker.max_given - worker.given();
  Chunk chunk = front.take_front(std::min(grain(front, each), left));
  if (front.count == 0) queue->second.pop_front();
  if (queue->second.empty()) drop(queues, queue);
  waiting_ -= chunk.count;

  // Of an unknown cost one chunk is plenty and two are enough.
  constexpr double max_estimate = 1e15;
  chunk.estimate_ns = each > 0 ? static_cast<std::uint64_t>(std::min(
                                     max_estimate, each * static_cast<double>(chunk.count)))
                               : backlog_ns;
  int const priority = chunk.task->priority();
  worker.priority = worker.ahead.elements == 0 ? priority : std::min(worker.priority, priority);
  min_priority_ = std::min(min_priority_, priority);
  worker.taken += chunk.amount();
  update(index);
  return chunk;
}

// ---- balance

std::optional<Scheduler::Revocation> Scheduler::preemption() const {
  if (idle_.first() || (!expect_more_ && busy_.first())) return std::nullopt;
  auto const& [urgent, queue] = *queues_.begin();
  std::uint64_t revoking = 0;
  std::optional<std::size_t> most;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    Worker const& worker = workers_[i];
    if (worker.load.revoking) {
      ++revoking;
      continue;
    }
    if (!worker.ready || worker.ahead.keyed_chunks != 0 || worker.ahead.elements < 2) continue;
    if (worker.priority >= urgent || worker.ahead.estimate_ns < 2 * backlog_ns) continue;
    if (!most || worker.ahead.estimate_ns > workers_[*most].ahead.estimate_ns) most = i;
  }
  // As many as there are urgent elements. Each takes one when what it has begun has ended.
  std::uint64_t waiting = 0;
  for (auto chunk = queue.begin(); chunk != queue.end() && waiting <= revoking; ++chunk) {
    waiting += chunk->count;
  }
  if (!most || waiting <= revoking) return std::nullopt;
  return Revocation{*most, workers_[*most].ahead.elements - 1};
}

std::optional<Scheduler::Revocation> Scheduler::steal(TimePoint now, bool& look_again) {
  look_again = false;
  min_priority_ = std::numeric_limits<int>::max();
  for (Worker const& worker : workers_) {
    if (worker.ahead.elements != 0) min_priority_ = std::min(min_priority_, worker.priority);
  }
  if (!queues_.empty()) return preemption();
  if (!idle_.first()) return std::nullopt;
  std::optional<Revocation> found;
  std::uint64_t most = 0;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    Worker const& worker = workers_[i];
    Amount const& ahead = worker.ahead;
    bool const may_give = worker.ready && !worker.load.revoking && ahead.keyed_chunks == 0;
    if (!may_give || ahead.elements < 2) continue;
    bool const blocked = now - worker.progress >= blocked_after;
    if (!blocked) look_again = true;
    if (!blocked && ahead.estimate_ns < 2 * backlog_ns) continue;
    if (ahead.estimate_ns < most) continue;
    most = ahead.estimate_ns;
    // One is being worked on. Of the others half, but all if they wait behind something long.
    found = Revocation{i, blocked ? ahead.elements - 1 : ahead.elements / 2};
  }
  return found;
}

}  // namespace procpool::inline v0_1::parent
