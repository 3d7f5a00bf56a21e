#pragma once

// The scheduler: which elements go to which worker, in what portions, and when a worker's unbegun
// elements should be taken back for another. Pure: no I/O, no clock, no lock; the engine calls it under
// its mutex and carries out what it says.
//
// Rules. Higher priorities first, and first come, first served among equal ones; what was given back
// goes ahead of its equals. Elements with a key wait for the worker that the key was bound to when the
// first of them came; the others go to idle workers first, then to the one with the least work ahead;
// but where one that is awake has so little ahead that it is through before an idle one would be awake,
// that one gets them. A worker that may run dry gets a second portion while it works, but not as long as
// more workers are expected. Portions last about `grain_ns` by the
// measured cost of the function's elements, and shrink towards the end of the queue; while the cost is
// unknown they are single elements. What waits with a higher priority than a worker's elements does not wait
// for all of these: what of them has not begun goes back to the queue, behind it. Where the size of chunks was set by hand, a portion is one chunk, or
// as many whole ones as are over in no time.

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

#include "parent/chunk.hpp"

namespace procpool::inline v0::parent {

// A number in [0, 1) for each worker, spread evenly however many there are; 0 for the first.
double even_share(std::size_t index);

class Scheduler {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  static constexpr double grain_ns = 4'000'000;
  // A smaller portion costs more than it evens out.
  static constexpr double min_grain_ns = 10'000;
  // Several chunks that were set by hand go together when all of them are over within this time.
  static constexpr double several_chunks_ns = 50'000;
  // Elements that are over sooner go to a worker several at a time: their way there costs more than they do.
  static constexpr double coalesce_ns = 10'000;
  static constexpr std::size_t max_coalesced = 32;
  // Whoever has so many chunks ahead is at work until that many have come together.
  static constexpr std::size_t enough_chunks = 8;
  // What a worker should have ahead of it, so that it never waits for the parent.
  static constexpr double backlog_ns = 300'000;
  // Waking an idle worker takes about as long; what a worker that is awake does sooner, it gets.
  static constexpr double worth_waking_ns = 30'000;
  // An element that runs longer than this holds up those behind it long enough to move them.
  static constexpr std::chrono::milliseconds blocked_after{2};

  // `max_per_worker`: elements that one worker may be given in its life.
  // `grain_bytes`: that a portion may have, if it is of more than one element.
  explicit Scheduler(std::size_t workers,
                     std::uint64_t max_per_worker = std::numeric_limits<std::uint64_t>::max(),
                     std::uint64_t grain_bytes = std::numeric_limits<std::uint64_t>::max())
      : max_per_worker_(max_per_worker),
        grain_bytes_(grain_bytes),
        usable_(workers),
        workers_(workers) {}

  // From now on only the first `workers` are counted on. Keys of the others are bound anew.
  void resize(std::size_t workers);

  // ---- the queue
  void add(Chunk chunk);
  void requeue(Chunk chunk);  // ahead of all others of its priority
  Chunks remove(detail::Task const& task, std::uint64_t first);  // from this element on
  Chunks remove_expired();
  Chunks remove_all();
  std::uint64_t waiting() const noexcept { return waiting_; }
  // Something waits for whichever worker has time.
  bool waits_for_any() const noexcept { return !queues_.empty(); }
  // Something waits for this very worker.
  bool awaited(std::size_t worker) const noexcept { return !workers_[worker].own.empty(); }

  // ---- the workers
  void worker_ready(std::size_t worker, TimePoint now);
  void worker_leaves(std::size_t worker);  // keeps what it holds, gets nothing more
  void worker_gone(std::size_t worker);    // what it held is given back by the engine
  // Nobody comes in the place of workers that are gone, as far as can be told. Keys of theirs are bound anew, to workers
  // that are there, until one becomes ready.
  void count_on_ready_ones();
  // When this worker fell idle; nothing: it has, or is to get, something to do.
  std::optional<TimePoint> idle_since(std::size_t worker) const noexcept;
  // More workers are coming: nobody gets a second portion meanwhile.
  void expect_more(bool more) noexcept { expect_more_ = more; }

  // ---- placing
  struct Assignment {
    std::size_t worker;
    Chunk chunk;
  };
  // Takes the portion off the queue and counts it as ahead of the worker.
  std::optional<Assignment> next();
  // What waits may go on waiting until it is worth the way: it takes no time, and who would get it is at
  // work. There will be outcomes of that, after which next() is to be asked.
  bool coalesces() const;
  // The next one again, if it is a single element that takes no time and next() would give it to the same
  // worker too: for the same way there.
  std::optional<Chunk> next_coalesced(std::size_t worker);
  // It was given. Until then, or until refused(), the worker gets nothing else with a key, so that two
  // threads cannot give it what belongs together in the wrong order.
  void placed(std::size_t worker) noexcept { workers_[worker].placing = false; }
  // It could not be given, and is the caller's again; nothing more for this worker until something of it
  // has finished, or until roomy() or retry().
  void refused(std::size_t worker, Chunk const& chunk);
  void roomy(std::size_t worker) noexcept { workers_[worker].full = false; }
  void retry() noexcept;
  // Elements of a worker have ended; `ended_chunks` of its chunks thereby. `nanoseconds` is what they
  // took, 0 if that is not known.
  void finished(std::size_t worker, detail::Trampoline code, std::uint64_t elements,
                std::size_t ended_chunks, std::uint64_t nanoseconds, TimePoint now);

  // ---- balance
  struct Revocation {
    std::size_t worker;
    std::uint64_t elements;  // at most so many from the end of what it holds
  };
  // Which worker should give elements up, for an idle one or for what is more urgent; `look_again` is set
  // when the answer may change by the passing of time alone.
  std::optional<Revocation> steal(TimePoint now, bool& look_again);
  // Workers may have less urgent elements than those of this priority; imbalance() knows.
  bool outranks(int priority) const noexcept { return priority > min_priority_; }
  // The worker holds this much less; its give-up is going on until `settled`. Give-ups have growing numbers,
  // because the end of one may be told before its begin, by another thread.
  void revoked(std::size_t worker, std::uint64_t elements, std::size_t chunks,
               std::uint64_t number);
  void revocation_done(std::size_t worker, std::uint64_t number);  // and all before it

  // It has been given all that it may be, and that has ended.
  bool spent(std::size_t worker) const noexcept {
    return workers_[worker].given >= workers_[worker].most && workers_[worker].elements == 0;
  }
  double cost(detail::Trampoline code) const;  // ns per element; 0: not known
  std::uint64_t held(std::size_t worker) const { return workers_[worker].elements; }
  std::uint64_t busy_workers() const noexcept;

 private:
  using Queue = std::deque<Chunk>;
  using Queues = std::map<int, Queue, std::greater<>>;  // by priority; none is empty

  struct Worker {
    bool ready = false;
    bool full = false;           // refused something
    std::uint64_t elements = 0;  // given and not ended
    std::size_t chunks = 0;
    std::uint64_t given = 0;  // in its life, what was taken back not counted
    std::uint64_t most = std::numeric_limits<std::uint64_t>::max();  // that it may be given
    bool placing = false;   // something with a key is on its way to it
    bool keyed = false;     // of its elements some have keys: they cannot go elsewhere
    double backlog_ns = 0;  // estimated time of its elements
    int priority = 0;       // the lowest of its elements, if it has any
    TimePoint progress{};   // when it last finished something or became busy
    // Of the place, whoever works there:
    Queues own{};          // what waits for it because of its key
    std::size_t keys = 0;  // bound to it
    unsigned lives = 0;
    std::uint64_t asked = 0;            // the last give-up that was begun here
    std::uint64_t revocation_done = 0;  // and that is over

    // It was asked to give elements up and has not passed the cut.
    bool revoking() const noexcept { return asked > revocation_done; }
    void begin_anew();
  };

  std::uint64_t grain(Chunk const& chunk, double each) const;
  // Who would get the next one, if that is a small single element that takes no time.
  std::optional<std::size_t> coalescing_worker() const;
  // Takes what goes first of these off its queue, and counts it as the worker's.
  Chunk take(Worker& worker, Queues& queues);
  // ns that it adds to what a worker has ahead, where each element costs so many, 0: not known.
  static double backlog(Chunk const& chunk, double each);
  bool takes_more(Worker const& worker) const;
  std::optional<std::size_t> choose(double each) const;  // for elements of this cost; 0: not known
  std::optional<std::size_t> choose_affine() const;
  std::optional<Revocation> preemption() const;  // by what goes first in the queue
  // Where a chunk waits.
  Queues& queues_for(Chunk const& chunk);
  Queue& queue_in(Queues& queues, int priority);
  void drop(Queues& queues, Queues::iterator queue);  // which is empty
  std::size_t worker_for(Key key);
  // What waits for this worker waits for others, to which its keys are bound anew.
  void hand_over(Worker& worker);
  void update(Worker& worker);

  // Moves what `which` cuts off each chunk out of the queue.
  Chunks remove_where(std::function<Chunk(Chunk&)> const& which);

  std::uint64_t const max_per_worker_;
  std::uint64_t const grain_bytes_;
  std::size_t usable_;
  Queues queues_;              // of what any worker may get
  Queues::node_type spare_;    // a queue that ran empty: most do, again and again
  std::uint64_t waiting_ = 0;  // elements, there and for workers of their own
  std::uint64_t order_ = 0;
  std::unordered_map<std::uint64_t, std::size_t> keys_;  // key -> worker
  std::vector<Worker> workers_;
  std::unordered_map<detail::Trampoline, double> costs_;
  bool expect_more_ = false;
  bool only_ready_ = false;  // get keys
  // Of the elements that workers have, or had when imbalance() was last asked.
  int min_priority_ = std::numeric_limits<int>::max();
};

}  // namespace procpool::inline v0::parent
