// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Slot: one worker as the parent sees it, and the place in the pool that its replacements take over.
// The slot has the parent's end of the channel, the ledger of the worker, and its sending half.
//
// Any thread may put, collect and revoke. Each operation takes the mutex of the slot. Under that mutex
// only the mutexes of the buffer pool, of the peer buffers and of the registry of resources are taken,
// only bytes move, and no user code runs. The dispatcher alone calls `open` and `reap`.

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
#include "os/socket.hpp"
#include "parent/chunk.hpp"
#include "parent/ledger.hpp"
#include "parent/load.hpp"
#include "parent/outbound.hpp"
#include "parent/output_capture.hpp"
#include "parent/peer_buffers.hpp"

namespace procpool::inline v0_1::parent {

class Slot {
 public:
  using TimePoint = detail::TimePoint;

  // Tests give a clock of their own.
  explicit Slot(int index, std::shared_ptr<BufferPool> buffer_pool = std::make_shared<BufferPool>(),
                TimePoint (*clock)() = &std::chrono::steady_clock::now)
      : index_(index), buffer_pool_(std::move(buffer_pool)), clock_(clock) {}

  // The outcome of some elements.
  struct Item {
    std::shared_ptr<detail::Task> task{};
    std::shared_ptr<SharedInput> input{};  // that has ended, if it names resources
    detail::OutcomeBlock block{};
    SharedInput::Queued queued{};
    std::optional<Chunk> element{};                               // one that threw, as it was sent
    bool again = false;                                           // it is run once more
    std::vector<std::pair<std::uint64_t, std::string>> output{};  // captured, by element
  };

  // The state of an actor, as its worker wrote it. Only a worker decodes it.
  struct Checkpoint {
    detail::Payload state{};
    std::shared_ptr<detail::Resource::List const> resources{};  // that it names
  };

  // The outcome of an operation. Its load says whether anything has changed.
  struct Report {
    Load load{};
    boost::container::small_vector<Item, 1> items;
    std::list<Item> more_items{};  // behind `items`, if there was no memory for all side by side
    Chunks returned;               // have not begun, and never will at this worker
    // Replaced ones that name resources, whose end may run code of the user.
    std::vector<Checkpoint> replaced{};
    std::string bad;  // not empty: the worker wrote an impossible value: kill it

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
    unwanted,  // sent, but no element of it may run any more: revoke it
    // There is no room now, others would be behind it, or the chunk carries something and the worker
    // is not free.
    full,
    gone  // no worker is here
  };
  // Puts chunks into the inbox of the worker, see Outbound::put(). Only the first chunk may be large.
  // The worker looks for more during `spin` before it sleeps. Throws nothing.
  //
  // The worker notifies of outcomes and not of room. If it owes no outcome, the caller puts a chunk
  // without room again after some time: very soon if something went ahead of the chunk, because the
  // worker takes that.
  struct PutReport {
    std::size_t sent = 0;          // so many of the chunks, from the first on: left empty
    bool unwanted = false;         // some of the sent ones are unwanted: left as they were
    Put result = Put::gone;        // of the next chunk, if there is one
    bool advanced = false;         // of a chunk without room: something was put ahead of it
    std::exception_ptr failure{};  // why the next chunk cannot be sent: it ends, and those behind
                                   // it go back to the queue
  };
  // `returned`: nothing is put if Load::returned is another number by now.
  PutReport put(std::span<Chunk> chunks, std::chrono::microseconds spin,
                std::optional<std::uint64_t> returned = {});
  // The same for one chunk. Throws the failure.
  Put put(Chunk& chunk, std::chrono::microseconds spin = {});
  Put put(Chunk&& chunk) { return put(chunk); }

  // ---- collecting
  Report collect();
  // The same for a caller that asks again and again. False: there is nothing to collect, or another
  // thread has the slot and may collect it.
  bool try_collect(Report& report);
  // For the caller of put(). The report has no load, because most callers need none.
  Load load();

  // Revokes up to `elements` of the last elements of the worker. The report returns those that surely
  // never begin. Undecided ones follow by a later collect().
  Report revoke(std::uint64_t elements);

  // ---- ending what runs
  struct Running {
    std::shared_ptr<detail::Task> task;
    std::uint64_t element;  // of the task
    std::uint64_t serial;
    TimePoint since;  // the first look that saw it run: never before it began
  };
  // The element that the worker surely runs, unless the worker is marked for kill. Called again and
  // again while elements with a timeout are out: if a worker does nothing with one for a second, as its
  // marks say, this call marks the worker for kill.
  std::optional<Running> running();
  // A line that a task has logged.
  struct LogLine {
    std::shared_ptr<detail::Task> task;  // null: it is not known any more
    std::uint64_t element = 0;
    std::uint64_t lost = 0;  // lines before it
    std::uint32_t level = 0;
    std::string text{};
    pid_t pid = 0;
  };
  // True if take_log() may have something. Cheap.
  bool has_log() const noexcept { return has_log_.load(std::memory_order_acquire); }
  // `more`: there is more already.
  struct Log {
    std::vector<LogLine> lines;
    bool more = false;
  };
  Log take_log();

  // The element that the worker runs by its marks, and what the element says of its progress.
  struct Doing {
    std::shared_ptr<detail::Task> task;
    std::uint64_t element;
    std::uint64_t done;
    std::uint64_t total;  // 0: not known
  };
  std::optional<Doing> doing() const;
  // Asks the element to stop. False: it does not look for requests, or does not run any more.
  bool ask_to_stop(std::uint64_t serial);
  // The same for the first element that the worker owes, which may begin to look later. False: the
  // worker has none.
  bool ask_first_to_stop();
  // The worker has elements of the task that have not ended, and is not marked for kill.
  bool holds(detail::Task const& task) const;

  // The error of an element whose worker is killed for it.
  struct KillReason {
    std::uint64_t serial;
    std::exception_ptr reason;
    bool cancelled;
  };
  struct KillResult {
    bool marked = false;
    Report report;  // as that of revoke()
  };
  // Marks the worker for kill if it still runs that very element. Such a worker begins nothing and is
  // sent nothing.
  KillResult mark_for_kill(KillReason kill_reason);
  bool marked_for_kill() const noexcept { return marked_for_kill_.load(std::memory_order_acquire); }

  // Reads the captured standard output and error of the worker. False: nothing is captured, or nobody
  // can write to it any more.
  bool read_output();

  // ---- the dispatcher's sleep
  void park(std::uint32_t number);
  // For a sleep that ends soon by itself. True: there is something to collect that notifies nobody.
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
  // The worker says that it has left, and it owes nothing.
  bool has_left() const;

  // ---- supervision
  struct Duty {
    bool owes = false;           // an outcome, or the acknowledgement of a revocation
    bool runs = false;           // an element, by the marks of the worker
    std::uint64_t progress = 0;  // changes if the worker gets on, as it says
    bool crashes = false;        // the worker has begun to report a crash
    channel::ExitHint exit_hint = channel::ExitHint::none;
  };
  Duty duty() const;
  // Wakes the worker, in case it sleeps though it has something to do.
  void nudge();

  void ask_to_leave();

  // ---- checkpoints of an actor
  // Whether outcomes may bring one. If not, none is kept.
  void keep_checkpoints(bool keep);
  // The last one of any worker here. It arrived with an outcome, or not at all.
  std::optional<Checkpoint> checkpoint() const;

  // ---- begin and end of a worker
  // `output` is null unless the output is captured.
  void open(std::unique_ptr<channel::ParentEnd> channel, os::UniqueFd control, pid_t pid,
            std::unique_ptr<OutputCapture> output = nullptr);
  // All that a dead worker left. `attributed` is one element or none, unless the worker wrote an
  // impossible value (`bad`).
  struct Death {
    Report report;  // the outcomes that were found, and all elements that had not begun
    Chunks attributed;
    pid_t pid = 0;       // of the worker
    std::string output;  // captured from the first of them
    detail::Stage stage = detail::Stage::idle;
    channel::ExitHint exit_hint = channel::ExitHint::none;
    std::string bad;      // not empty: the worker wrote an impossible value
    bool useful = false;  // the worker had answered or begun something in its life
    bool poison = false;  // attributed though not begun: too many workers died with it next in turn
    // The first look that saw the first attributed element run. Only some elements are looked at.
    std::optional<TimePoint> seen_since{};
    std::optional<KillReason> kill_reason;  // of the first attributed element, if there is one
    std::shared_ptr<detail::CrashReport const> crash{};  // as the worker wrote it; null: nothing
    os::UniqueFd control{};  // for os::close_socket: it may hold what was never received
  };
  Death reap();

  // Of all chunks in the ledger but the pool's own.
  std::vector<std::string> task_names() const;

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

  bool must_wait(Chunk const& chunk) const PROCPOOL_REQUIRES(mutex_);
  void put_each(std::span<Chunk> chunks, std::shared_ptr<detail::MessageBlock> block,
                std::chrono::microseconds spin, PutReport& report) PROCPOOL_REQUIRES(mutex_);

  std::optional<channel::ParentEnd::Running> running_of_channel() const PROCPOOL_REQUIRES(mutex_);
  void revoke_from(std::uint64_t serial, Report& report) PROCPOOL_REQUIRES(mutex_);
  void note_stall(TimePoint now) PROCPOOL_REQUIRES(mutex_);
  // True: something has changed.
  bool drain(Report& report) PROCPOOL_REQUIRES(mutex_);
  void accept(channel::ParentEnd::Arrival const& arrival, Report& report) PROCPOOL_REQUIRES(mutex_);
  detail::Payload receive(channel::ParentEnd::Arrival const& arrival) PROCPOOL_REQUIRES(mutex_);
  // The descriptors of the next packet on the control socket, which has this number and so many of them.
  std::vector<os::UniqueFd> receive_descriptors(std::uint64_t number, std::size_t count,
                                                os::Takes takes) PROCPOOL_REQUIRES(mutex_);
  void accept_resource(channel::ParentEnd::Arrival const& arrival) PROCPOOL_REQUIRES(mutex_);
  // The last `size` bytes of the outcome's payload are a state.
  void accept_checkpoint(detail::OutcomeBlock& block, std::uint64_t size, Report& report)
      PROCPOOL_REQUIRES(mutex_);
  // The first elements have ended; `item` has their payload.
  void resolve_front(std::uint64_t count, Item& item) PROCPOOL_REQUIRES(mutex_);
  bool read_capture() PROCPOOL_REQUIRES(mutex_);
  // Takes the lines that are there, while the elements that logged them are in the ledger. Throws
  // BadFrame.
  void read_log() PROCPOOL_REQUIRES(mutex_);
  void read_capture_if_possible() PROCPOOL_REQUIRES(mutex_);
  void reap_front(Death& death) PROCPOOL_REQUIRES(mutex_);

  int const index_;
  std::atomic<std::uint64_t> inline_limit_{0};  // of any channel here; 0: there was none yet
  std::shared_ptr<BufferPool> const buffer_pool_;
  TimePoint (*const clock_)();
  std::atomic<bool> marked_for_kill_{false};  // kill_reason_ is set
  std::atomic<bool> has_log_{false};          // log_ is not empty

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
  // The resources that the next outcome names, as far as they have arrived.
  detail::Resource::List named_ PROCPOOL_GUARDED_BY(mutex_);
  std::string missed_ PROCPOOL_GUARDED_BY(mutex_);     // not empty: why one of them has not
  bool answered_ PROCPOOL_GUARDED_BY(mutex_) = false;  // at least one element, of any task
  std::optional<Sighting> runs_ PROCPOOL_GUARDED_BY(mutex_);
  // The front of the ledger: the worker neither runs it, by its marks, nor has answered it.
  std::optional<Sighting> idles_ PROCPOOL_GUARDED_BY(mutex_);
  bool stalled_ PROCPOOL_GUARDED_BY(mutex_) = false;  // and is killed for that
  std::optional<KillReason> kill_reason_ PROCPOOL_GUARDED_BY(mutex_);
  std::string bad_ PROCPOOL_GUARDED_BY(mutex_);
  std::unique_ptr<OutputCapture> output_ PROCPOOL_GUARDED_BY(mutex_);
  std::vector<LogLine> log_ PROCPOOL_GUARDED_BY(mutex_);    // for the dispatcher
  std::uint64_t log_lost_ PROCPOOL_GUARDED_BY(mutex_) = 0;  // behind them
  bool keeps_checkpoints_ PROCPOOL_GUARDED_BY(mutex_) = false;
  std::optional<Checkpoint> checkpoint_ PROCPOOL_GUARDED_BY(mutex_);
  std::uint32_t parked_ PROCPOOL_GUARDED_BY(mutex_) =
      0;  // number of the dispatcher's sleep; 0: awake
  unsigned spinners_ PROCPOOL_GUARDED_BY(mutex_) = 0;
};

}  // namespace procpool::inline v0_1::parent
