#pragma once

// Slot: one worker as the parent sees it, and the place in the pool that its replacements take over.
// The slot has the parent's end of the channel and the ledger of the worker. It knows which functions
// and shared values the worker has.
//
// Any thread may put, collect and revoke. Each operation takes the slot's mutex; under it only the
// mutexes of the buffer pool and of the peer buffers are taken. Only bytes move under it, no user code
// runs. `open` and `reap` are the dispatcher's.

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <boost/container/small_vector.hpp>

#include <procpool/detail/engine/mutex.hpp>

#include "channel/parent_end.hpp"
#include "engine/crash_report.hpp"
#include "os/fd.hpp"
#include "os/memfd.hpp"
#include "parent/chunk.hpp"
#include "parent/ledger.hpp"
#include "parent/load.hpp"
#include "parent/outbound.hpp"
#include "parent/output_capture.hpp"
#include "parent/peer_buffers.hpp"

namespace procpool::inline v0::parent {

class Slot {
 public:
  using TimePoint = detail::TimePoint;

  // `clock` is another one in tests.
  explicit Slot(int index, std::shared_ptr<BufferPool> buffer_pool = std::make_shared<BufferPool>(),
                TimePoint (*clock)() = &std::chrono::steady_clock::now)
      : index_(index), buffer_pool_(std::move(buffer_pool)), clock_(clock) {}

  // The outcome of some elements.
  struct Item {
    std::shared_ptr<detail::Task> task{};
    detail::Block block{};
    std::uint64_t nanoseconds = 0;   // that the elements took together, as the worker says
    std::optional<Chunk> element{};  // one that threw, as it was given
    bool again = false;              // it is run once more
    std::vector<std::pair<std::uint64_t, std::string>> output{};  // captured, by element
  };

  // What an operation has brought. Its load says whether anything has changed.
  struct Report {
    Load load{};
    boost::container::small_vector<Item, 1> items;
    std::list<Item> more_items{};  // behind them, if there was no memory for all side by side
    Chunks returned;               // have not begun, and never will at this worker
    std::string bad;  // not empty: the worker wrote what cannot be, and is to be killed

    void add(Item&& item);
    std::size_t outcomes() const noexcept { return items.size() + more_items.size(); }
    template <class Use>
    void for_each_item(Use const& use) PROCPOOL_UNCHECKED_LOCKS {  // as patiently()
      for (Item& item : items) use(item);
      for (Item& item : more_items) use(item);
    }
  };

  // ---- sending
  enum class Put : std::uint8_t {
    sent,
    unwanted,  // sent, but no element of it may run any more: it is to be revoked
    full,      // there is no room now
    gone       // no worker is here
  };
  // Puts chunks into the inbox of the worker, each as one frame behind the shared values that it names
  // and the registration of its function, unless the worker has them. These stay there if the chunk
  // finds no room. Only the first chunk may be large. `spin`: how long the worker looks for more
  // once it has nothing. Throws nothing.
  //
  // The worker notifies of outcomes, not of room. If it owes none, a chunk without room is to be put
  // again after some time: at once if something was put ahead of it, because the worker takes that.
  struct PutReport {
    std::size_t sent = 0;          // so many of the chunks, from the first on: left empty
    bool unwanted = false;         // some of these are: left as they were
    Put result = Put::gone;        // of the next chunk, if there is one
    bool advanced = false;         // of a chunk without room: something was put ahead of it
    std::exception_ptr failure{};  // why the next chunk cannot be sent
  };
  PutReport put(std::span<Chunk> chunks, std::chrono::microseconds spin);
  // The same for one chunk. Throws what prevents that the chunk can be sent.
  Put put(Chunk& chunk, std::chrono::microseconds spin = {});
  Put put(Chunk&& chunk) { return put(chunk); }

  // ---- collecting
  Report collect();
  // The same for a caller that asks again and again. False: nothing is there to collect, or another
  // thread has the slot just now, which may collect it too.
  bool try_collect(Report& report);
  // For the caller of put(). It is not in the report, because most callers need none.
  Load load();

  // Revokes up to `elements` from the end of what the worker holds. The report returns those that
  // surely never begin; what is undecided follows by a later collect().
  Report revoke(std::uint64_t elements);

  // ---- ending what runs
  struct Running {
    std::shared_ptr<detail::Task> task;
    std::uint64_t element;  // of the task
    std::uint64_t serial;
    TimePoint since;  // when it was first seen to run: never before it began
  };
  // The element that the worker surely runs, unless the worker is marked for kill. To be asked again
  // and again while elements with a timeout are out: a worker that does nothing with one for a second,
  // as its marks say, is marked for kill here.
  std::optional<Running> running();
  // Asks the element to stop. False: it does not look at that, or does not run any more.
  bool ask_to_stop(std::uint64_t serial);
  // The worker has elements of the task that have not ended, and is not marked for kill.
  bool holds(detail::Task const& task) const;

  // What an element ends with when its worker is killed for it.
  struct KillReason {
    std::uint64_t serial;
    std::exception_ptr reason;
    bool cancelled;
  };
  struct KillResult {
    bool marked = false;
    Report report;  // as that of revoke()
  };
  // Marks the worker for kill if it still runs that very element. From then on the worker begins
  // nothing and is sent nothing.
  KillResult mark_for_kill(KillReason kill_reason);
  bool marked_for_kill() const noexcept { return marked_for_kill_.load(std::memory_order_acquire); }

  // Reads the captured standard output and error of the worker. False: nothing is captured, or nobody
  // can write to it any more.
  bool read_output();

  // ---- the dispatcher's sleep
  void park(std::uint32_t number);
  // For a sleep that ends soon by itself. True: what is there to collect will notify nobody.
  bool begin_short_poll(std::uint32_t number);
  void unpark();
  bool news();
  // The worker need not notify as long as a thread spins. True: the worker sleeps, or is waking up.
  bool begin_spin();
  bool end_spin();  // true: there is news that the worker has not notified of

  // Message memory, here and in the worker; as Trimmable::trim().
  std::optional<TimePoint> trim(TimePoint now);

  // The worker begins nothing more, and waits to be let go.
  bool retiring() const;
  // The worker says that it has left, and owes nothing.
  bool has_left() const;

  // ---- supervision
  struct Duty {
    bool owes = false;           // an outcome that the worker has not shown
    bool runs = false;           // an element, by the marks of the worker
    std::uint64_t progress = 0;  // changes when the worker gets on, as it says
    bool crashes = false;        // the worker has begun to report a crash
    channel::ExitHint exit_hint = channel::ExitHint::none;
  };
  Duty duty() const;
  // Wakes the worker, in case that it sleeps though it has something to do.
  void nudge();

  void ask_to_leave();

  // ---- begin and end of a worker
  // `output` is null unless the output is captured.
  void open(std::unique_ptr<channel::ParentEnd> channel, os::UniqueFd control, pid_t pid,
            std::unique_ptr<OutputCapture> output = nullptr);
  // What a dead worker left. `attributed` is one element or none, unless the worker wrote what cannot
  // be (`bad`).
  struct Death {
    Report report;  // the outcomes that were found, and all elements that had not begun
    Chunks attributed;
    std::string output;  // captured from the first of them
    detail::Stage stage = detail::Stage::idle;
    channel::ExitHint exit_hint = channel::ExitHint::none;
    std::string bad;      // not empty: what the worker left cannot be true
    bool useful = false;  // the worker had answered or begun something in its life
    bool poison = false;  // attributed though not begun: too many workers died with it next in turn
    std::optional<KillReason> kill_reason;  // of the first attributed element, if there is one
    std::shared_ptr<detail::CrashReport const> crash{};  // as the worker wrote it; null: nothing
    os::UniqueFd control{};  // for os::close_socket: it may hold what was never received
  };
  Death reap();

  std::vector<std::uint64_t> task_ids() const;  // of what the worker holds

 private:
  // An element that was seen in some state, and since when.
  struct Sighting {
    std::uint64_t serial;
    TimePoint since;
  };

  bool has_input() const PROCPOOL_REQUIRES(mutex_);
  Load current_load() PROCPOOL_REQUIRES(mutex_);
  void distrust(channel::BadFrame const& bad) PROCPOOL_REQUIRES(mutex_);
  TimePoint since(std::optional<Sighting>& sighting, std::uint64_t serial) const;

  void put_each(std::span<Chunk> chunks, std::shared_ptr<detail::MessageBlock> block,
                std::chrono::microseconds spin, PutReport& report) PROCPOOL_REQUIRES(mutex_);

  std::optional<channel::ParentEnd::Running> running_of_channel() const PROCPOOL_REQUIRES(mutex_);
  void revoke_from(std::uint64_t serial, Report& report) PROCPOOL_REQUIRES(mutex_);
  void note_stall(TimePoint now) PROCPOOL_REQUIRES(mutex_);
  // True: something has changed.
  bool drain(Report& report) PROCPOOL_REQUIRES(mutex_);
  void accept(channel::ParentEnd::Arrival const& arrival, Item& item) PROCPOOL_REQUIRES(mutex_);
  detail::Payload receive(channel::ParentEnd::Arrival const& arrival) PROCPOOL_REQUIRES(mutex_);
  os::Memfd receive_file() PROCPOOL_REQUIRES(mutex_);
  // The first elements have ended; `item` has their payload.
  void resolve_front(std::uint64_t count, Item& item) PROCPOOL_REQUIRES(mutex_);
  bool read_capture() PROCPOOL_REQUIRES(mutex_);
  void read_capture_if_possible() PROCPOOL_REQUIRES(mutex_);
  void reap_front(Death& death) PROCPOOL_REQUIRES(mutex_);

  int const index_;
  std::atomic<std::uint64_t> inline_limit_{0};  // of any channel here; 0: there was none yet
  std::shared_ptr<BufferPool> const buffer_pool_;
  TimePoint (*const clock_)();
  std::atomic<bool> marked_for_kill_{false};  // kill_reason_ is set

  mutable detail::Mutex mutex_{detail::Mutex::Adaptive{}};
  // Null while there is no worker.
  std::unique_ptr<channel::ParentEnd> channel_ PROCPOOL_GUARDED_BY(mutex_);
  std::shared_ptr<PeerBuffers> peer_buffers_ PROCPOOL_GUARDED_BY(mutex_);
  os::UniqueFd control_ PROCPOOL_GUARDED_BY(mutex_);
  pid_t pid_ PROCPOOL_GUARDED_BY(mutex_) = 0;
  std::optional<Outbound> outbound_ PROCPOOL_GUARDED_BY(mutex_);  // as long as channel_
  Ledger ledger_ PROCPOOL_GUARDED_BY(mutex_);
  // A chunk found no room, and nothing has ended since.
  bool full_ PROCPOOL_GUARDED_BY(mutex_) = false;
  bool answered_ PROCPOOL_GUARDED_BY(mutex_) = false;  // at least one element, of any task
  std::optional<Sighting> runs_ PROCPOOL_GUARDED_BY(mutex_);
  // The front of the ledger: the worker neither runs it, by its marks, nor has answered it.
  std::optional<Sighting> idles_ PROCPOOL_GUARDED_BY(mutex_);
  bool stalled_ PROCPOOL_GUARDED_BY(mutex_) = false;  // and is killed for that
  std::optional<KillReason> kill_reason_ PROCPOOL_GUARDED_BY(mutex_);
  std::string bad_ PROCPOOL_GUARDED_BY(mutex_);
  std::unique_ptr<OutputCapture> output_ PROCPOOL_GUARDED_BY(mutex_);
  std::uint32_t parked_ PROCPOOL_GUARDED_BY(mutex_) =
      0;  // number of the dispatcher's sleep; 0: awake
  unsigned spinners_ PROCPOOL_GUARDED_BY(mutex_) = 0;
};

}  // namespace procpool::inline v0::parent
