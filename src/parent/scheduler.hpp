// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Scheduler: which elements go to which worker, in chunks of what size, and which
// worker returns elements that have not begun. Pure: no I/O, no clock, no lock. The owner calls it under a mutex and
// carries out the answers.
//
// Rules.
// - A higher priority goes first. Equal ones go in the order of their arrival, and what a worker gave
//   back goes ahead of its equals.
// - An element with a key waits for the worker that the key was bound to when its first element came.
//   Elements that wait for one worker keep the order of their arrival, also those that came back.
// - Other elements go to an idle worker, or else to the worker with the smallest backlog. A busy worker
//   is preferred when it will be done before the idle one would be awake.
// - A worker that may run dry gets a second chunk, but not while more workers are expected.
// - A chunk lasts about `grain_ns` by the measured cost of its function. Chunks shrink towards the end
//   of the queue. While the cost is unknown, a chunk is one element. If the user has set the size, a
//   chunk has that size, or several of them when they are over in no time.
// - Elements of a higher priority do not wait behind all elements of a busy worker: those that have not
//   begun go back to the queue.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include <boost/container/static_vector.hpp>

#include "parent/chunk.hpp"
#include "parent/load.hpp"
#include "parent/ranking.hpp"

namespace procpool::inline v0_1::parent {

// A number in [0, 1) for each worker. The numbers are spread evenly, however many workers there are;
// that of the first worker is 0.
double even_share(std::size_t index);

class Scheduler {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr double grain_ns = 4'000'000;
  // A smaller chunk costs more than it evens out.
  static constexpr double min_grain_ns = 10'000;
  // Several chunks of a size that the user has set go together if all are over within this time.
  static constexpr double several_chunks_ns = 50'000;
  // Elements that are over sooner go to a worker several at a time: their way costs more than they do.
  static constexpr double coalesce_ns = 10'000;
  static constexpr std::size_t max_coalesced = 32;
  // A worker with so many chunks is busy until `max_coalesced` elements have come together.
  static constexpr std::size_t enough_chunks = 8;
  // With so much work a worker never waits for the parent.
  static constexpr std::uint64_t backlog_ns = 300'000;
  // About the time in which an idle worker wakes up.
  static constexpr double worth_waking_ns = 30'000;
  // An element that runs longer blocks those behind it long enough to move them.
  static constexpr std::chrono::milliseconds blocked_after{2};

  enum class Keys : std::uint8_t {
    are_bound,   // to the worker that suits best when the first element comes
    are_workers  // each is the number of the only worker that gets its elements
  };
  // `max_per_worker`: elements that one worker is given in its life.
  // `grain_bytes`: of a chunk with more than one element.
  explicit Scheduler(std::size_t workers,
                     std::uint64_t max_per_worker = std::numeric_limits<std::uint64_t>::max(),
                     std::uint64_t grain_bytes = std::numeric_limits<std::uint64_t>::max(),
                     Keys keys = Keys::are_bound);

  // From now on only the first `workers` are counted on. Keys of the others are bound anew.
  void resize(std::size_t workers);

  // ---- the queue
  void add(Chunk&& chunk);
  void requeue(Chunk&& chunk);  // ahead of all others of its priority; with a key: of later ones
  // So many elements that this worker returned are in the queue again, or have ended. Until then
  // nothing with a key goes to the worker: it could go ahead of them.
  void came_back(std::size_t worker, std::uint64_t elements);
  Chunks remove(detail::Task const& task, std::uint64_t first);  // from this element on
  Chunks remove_cancelled();                                     // of all tasks
  Chunks remove_expired();
  Chunks remove_own(std::size_t worker);  // what waits for this very worker
  // A thread has a chunk in its hands that it has taken for the worker, or from it.
  bool is_on_its_way(std::size_t worker) const noexcept {
    return workers_[worker].on_its_way().chunks != 0 || workers_[worker].awaits_returned();
  }
  Chunks remove_all();
  // Elements for a place, see TaskControl::on_each_worker, at which no worker is ready.
  Chunks remove_of_vacant_places();
  std::uint64_t waiting() const noexcept { return waiting_; }
  // Something waits for any worker.
  bool waits_for_any() const noexcept { return !queues_.empty(); }
  // Something waits that a worker which is not ready could get. Takes as long as there are workers
  // if all that waits has a key.
  bool waits_for_more_workers() const noexcept;
  // Something waits for this very worker.
  bool awaited(std::size_t worker) const noexcept { return !workers_[worker].own.empty(); }

  // While it is paused, next() gives nothing.
  void pause(bool paused);
  bool paused() const noexcept { return paused_; }

  // ---- the workers
  void worker_ready(std::size_t worker, TimePoint now);
  void worker_leaves(std::size_t worker);  // keeps what it holds, gets nothing more
  void worker_gone(std::size_t worker);    // its load says that it holds nothing
  // No replacement is to be expected for workers that are gone. Their keys are bound anew, to workers
  // that are there, until one becomes ready.
  void count_on_ready_ones();
  // The time at which this worker fell idle. Nothing: it has something to do, or will get it.
  std::optional<TimePoint> idle_since(std::size_t worker) const noexcept;
  // More workers are coming: no worker gets a second chunk meanwhile.
  void expect_more(bool more) noexcept { expect_more_ = more; }
  // A load that is not newer than the newest one known is ignored.
  void observe(std::size_t worker, Load const& load, TimePoint now);
  // Elements of this function took so long together. Throws std::bad_alloc, having changed nothing.
  void measure(detail::Trampoline code, std::uint64_t elements, std::uint64_t nanoseconds);

  // ---- placing
  // Chunks that one worker gets together.
  struct Group {
    std::size_t worker = 0;
    double each = 0;  // ns of an element of the first chunk; 0: not known
    // Some have a key. Elements that went ahead of them may come back to the queue meanwhile, and would
    // be behind them then: the group goes only as long as Load::returned is this.
    std::optional<std::uint64_t> keyed{};
    boost::container::static_vector<Chunk, max_coalesced> chunks{};
  };
  enum class Coalescing : std::uint8_t {
    goes,  // everything that a worker has time for is given
    waits  // short elements wait for company while the worker that gets them is busy for long enough
  };
  // Takes what goes next off the queue, into a group that is empty. It counts as work of the worker
  // from now on, until a load says that it was put into the slot. False: no worker has time, or what
  // waits waits for company; the next load of that worker is the time to ask again. Chunks with a key
  // go to a worker only after the group before has arrived: two threads must not change their order.
  bool next(Group& group, Coalescing coalescing = Coalescing::goes);
  // Workers without room that hold nothing are tried again: none of them will answer and have room.
  void retry() noexcept;

  // ---- balance
  struct Revocation {
    std::size_t worker;
    std::uint64_t elements;  // at most so many from the end of what it holds
  };
  // Which worker returns elements, for an idle one or for more urgent ones. `look_again`: the answer
  // may change by the passing of time alone.
  std::optional<Revocation> steal(TimePoint now, bool& look_again);
  // Workers may have less urgent elements than those of this priority: steal() knows.
  bool outranks(int priority) const noexcept { return priority > min_priority_; }

  // It was given all that it may get in its life, and all of that has ended.
  bool spent(std::size_t worker) const noexcept {
    return workers_[worker].given() >= workers_[worker].max_given && held(worker) == 0;
  }
  double cost(detail::Trampoline code) const;  // ns per element; 0: not known
  // Elements that were given to the worker and have not ended.
  std::uint64_t held(std::size_t worker) const noexcept { return workers_[worker].ahead.elements; }
  std::uint64_t busy_workers() const noexcept { return busy_workers_; }

 private:
  using Queue = std::deque<Chunk>;
  using Queues = std::map<int, Queue, std::greater<>>;  // by priority; none is empty

  struct Worker {
    bool ready = false;
    bool open = false;  // ready, and nothing is paused
    std::uint64_t max_given = std::numeric_limits<std::uint64_t>::max();
    int priority = 0;      // the lowest of its elements, if it has any
    TimePoint progress{};  // the last answer, or the begin of its life
    // Of the place, whichever worker is there:
    Load load{};     // the newest one
    Amount taken{};  // all that next() has taken for this place
    Amount ahead{};  // the work of the worker: what the load says, and what is on its way
    Queues own{};    // waits for this place because of its key, by age
    std::uint64_t came_back = 0;  // elements, as came_back() says
    std::size_t keys = 0;
    unsigned lives = 0;

    Amount on_its_way() const noexcept { return taken - load.offered; }
    std::uint64_t given() const noexcept { return load.given + on_its_way().elements; }
    bool takes_more() const noexcept;
    bool awaits_returned() const noexcept { return load.returned != came_back; }
    // Until more elements have come together.
    bool has_enough() const noexcept { return ahead.chunks >= enough_chunks; }
    // What waits for this place may go there.
    bool takes_own() const noexcept {
      return !own.empty() && on_its_way().keyed_chunks == 0 && !awaits_returned();
    }
  };

  void update(std::size_t index);  // after each change of a worker
  void update_all();
  void set_ready(std::size_t index, bool ready);

  // The first of the most urgent.
  static Chunk const& front_of(Queues const& queues) { return queues.begin()->second.front(); }
  static bool goes_first(Queues const& ours, Queues const& theirs);
  std::uint64_t grain(Chunk const& chunk, double each) const;
  bool coalesces(Chunk const& chunk, double each) const;
  // Takes the first chunk of these off its queue, for a worker.
  Chunk take(std::size_t index, Queues& queues, double each);
  std::optional<std::size_t> choose(double each) const;  // for elements of this cost; 0: not known
  std::optional<std::size_t> choose_affine(Coalescing coalescing) const;
  // What waits for this worker waits until more have come together.
  bool own_waits_for_company(Worker const& worker) const;
  std::optional<Revocation> preemption() const;  // by what goes first in the queue

  Queue& queue_in(Queues& queues, int priority);
  void drop(Queues& queues, Queues::iterator queue);  // which is empty
  // The worker that a chunk waits for. Nothing: any.
  std::optional<std::size_t> affinity(Chunk const& chunk);
  std::size_t worker_for(Key key);
  std::size_t best_worker() const;  // for a key that comes for the first time
  // What waits for this worker waits for others, to which its keys are bound anew.
  void hand_over(Worker& worker);
  void sort_own();  // by age

  // Moves what `which` cuts off each chunk out of the queue.
  Chunks remove_where(std::function<Chunk(Chunk&)> const& which);

  std::uint64_t const max_per_worker_;
  std::uint64_t const grain_bytes_;
  Keys const keys_are_;
  std::size_t usable_;
  Queues queues_;              // of what any worker may get
  Queues::node_type spare_;    // a queue that ran empty: most do, again and again
  std::uint64_t waiting_ = 0;  // elements, there and for workers of their own
  std::uint64_t order_ = 0;
  std::unordered_map<std::uint64_t, std::size_t> keys_;  // key -> worker
  std::vector<Worker> workers_;
  Ranking idle_;  // workers that have nothing and take more
  Ranking busy_;  // workers that have something and take more, by their backlog
  // Workers that take more and are waited for: the idle ones first, and last those for which elements
  // wait for company.
  Ranking affine_;
  std::uint64_t busy_workers_ = 0;  // that have something
  std::uint64_t ready_workers_ = 0;
  std::unordered_map<detail::Trampoline, double> costs_;
  bool expect_more_ = false;
  bool paused_ = false;
  bool only_ready_ = false;  // get keys
  // Of the elements that workers have, or had when steal() was last asked.
  int min_priority_ = std::numeric_limits<int>::max();
};

}  // namespace procpool::inline v0_1::parent
