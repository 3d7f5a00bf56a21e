#pragma once

// Slot: one worker as the parent sees it, and the place in the pool that its replacements take over.
// It holds the parent's end of the channel and the ledger of this worker: which elements it was given
// and has not answered for, in the order of their serials; and it knows which functions and shared
// values the worker has got. What a worker says is held against that
// ledger before it is believed.
//
// Any thread may put, collect and take back; each takes the slot's private mutex, and no other lock is
// taken under it but those of the arena and of the holdings, which are the last. Only bytes move under it, no user code runs. `open` and `bury` are the dispatcher's.

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/container/small_vector.hpp>

#include "channel/parent_end.hpp"
#include "engine/crash_report.hpp"
#include "os/adaptive.hpp"
#include "os/fd.hpp"
#include "os/memfd.hpp"
#include "parent/chunk.hpp"
#include "parent/function_table.hpp"
#include "parent/ledger.hpp"
#include "parent/output_capture.hpp"
#include "parent/peer_buffers.hpp"

namespace procpool::inline v0::parent {

class Slot {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // `clock` is another one in tests.
  explicit Slot(int index, std::shared_ptr<BufferPool> buffer_pool = std::make_shared<BufferPool>(),
                TimePoint (*clock)() = &std::chrono::steady_clock::now)
      : index_(index), buffer_pool_(std::move(buffer_pool)), clock_(clock) {
    os::make_adaptive(mutex_);
  }

  enum class Put {
    sent,
    unwanted,  // sent, but no element of it may run any more: it is to be taken back
    full,      // no room now; there will be when something of this worker has ended: see await_room
    gone       // no worker here
  };
  // Gives a chunk to the worker as one record, behind the shared values that it names and that the
  // worker has not got yet, and the declaration of its function. Those that went out stay out when the
  // chunk does not. What was sent is this slot's: `chunk` is left empty. Throws std::system_error when a
  // large message finds no memory, std::runtime_error when the function lies in no module; nothing was
  // given then. `spin`: how long the worker may look for more once it has nothing.
  Put put(Chunk& chunk, std::chrono::microseconds spin = {});
  Put put(Chunk&& chunk) { return put(chunk); }
  // The same of several at once, of which only the first may be large.
  struct Given {
    std::size_t sent = 0;        // so many of them, from the first on
    bool unwanted = false;       // some of these are; they are left where they were, others empty
    Put how = Put::sent;         // what became of the next one, if there is one
    std::exception_ptr failure;  // why it cannot be sent
  };
  Given put(std::span<Chunk> chunks, std::chrono::microseconds spin);

  // After Put::full, when the engine has noted that. True: there is room again already. False: should an
  // idle worker, of which nothing can end, make room by taking shared values, a harvest will say so.
  bool await_room();

  // What a look at the worker brought.
  struct Item {
    std::shared_ptr<detail::Task> task;
    detail::Block block;
    std::uint64_t nanoseconds = 0;  // that these elements took together, as the worker says
    std::size_t ended_chunks = 0;
    std::optional<Chunk> element{};  // of one that threw: as it was given
    bool again = false;              // it is run once more
    std::vector<std::pair<std::uint64_t, std::string>> output{};  // captured, by element
  };
  struct Collected {
    boost::container::small_vector<Item, 1> items;
    std::list<Item> apart{};       // behind them: where there was no memory for all side by side
    Chunks returned;               // never begun, and never will be here
    bool revocation_done = false;  // a take-back is over
    bool roomy = false;            // the room that was awaited is there
    // The number of the last take-back: of that one, or of one that is over with its worker.
    std::uint64_t revocations = 0;
    std::string bad;  // not empty: the worker wrote what cannot be; end it

    void add(Item item);
    std::size_t outcomes() const noexcept { return items.size() + apart.size(); }
  };
  Collected collect();

  // Takes up to `elements` back from the end of what the worker holds; what surely never begins is
  // returned, the rest follows by a later harvest. `chunks` of them are no longer the worker's.
  struct Revoked {
    Chunks chunks;
    std::uint64_t elements = 0;
    std::size_t ended_chunks = 0;
    bool asked = false;        // false: nothing was there to take
    std::uint64_t number = 0;  // of this take-back
  };
  Revoked revoke(std::uint64_t elements);

  // ---- ending what runs
  struct Running {
    std::shared_ptr<detail::Task> task;
    std::uint64_t element;  // of the task
    std::uint64_t serial;
    TimePoint since;  // when it had been seen to run for the first time: never before it began
  };
  // The element that the worker is running, if it surely is, and nothing was decided about it yet. To be asked
  // again and again while elements with a deadline are out: a worker that for a second does nothing with one,
  // as it says, is condemned.
  std::optional<Running> running();
  // Asks the element to stop. False: it does not look at that, or does not run any more.
  bool ask_to_stop(std::uint64_t serial);
  // Holds it anything of the task that has not ended and is not to be ended?
  bool holds(detail::Task const& task) const;

  // What an element ends with when its worker is ended for it.
  struct KillReason {
    std::uint64_t serial;
    std::exception_ptr reason;
    bool cancelled;
  };
  // Decides that the worker is to be ended, if it still runs that very element; from then on it begins
  // nothing and is given nothing. What it had not begun is returned as by revoke.
  struct KillResult {
    bool marked_for_kill = false;
    Revoked taken;
  };
  KillResult mark_for_kill(KillReason kill_reason);
  bool marked_for_kill() const noexcept { return marked_for_kill_.load(std::memory_order_acquire); }

  // Reads what the worker has written to its captured standard output and error. False: it has none, or
  // nobody can write to it any more.
  bool read_output();

  // ---- the dispatcher's sleep
  void park(std::uint32_t number);
  // For a sleep that ends soon by itself. True: what is there to collect will ring nobody.
  bool begin_short_poll(std::uint32_t number);
  void unpark();
  bool news();
  // As news(), for who asks again and again: false where another has the slot just now, who may see it too.
  bool has_input_hint();
  // As long as somebody spins, the worker need not ring. True: it sleeps, or is just waking up.
  bool begin_spin();
  bool end_spin();  // true: there is news that it has not rung for

  // Lets go, and has the worker let go, message memory that was not used for a while; says when to look
  // again.
  std::optional<TimePoint> trim_memory(TimePoint now);

  // The worker begins nothing more, and waits to be let go.
  bool retiring() const;
  // It says that it has left, and owes nothing.
  bool has_left() const;

  // ---- looking after it
  struct Duty {
    bool owes = false;           // an outcome that it has not shown
    bool runs = false;           // an element, by its marks
    std::uint64_t progress = 0;  // changes when it gets on, as it says
    bool crashes = false;        // has begun to report that
    channel::ExitHint exit_hint = channel::ExitHint::none;
  };
  Duty duty() const;
  // Wakes it, should it sleep though it has something to do.
  void nudge();

  void ask_to_leave();

  // ---- birth and death
  // `output`: null, unless it is captured.
  void open(std::unique_ptr<channel::ParentEnd> channel, os::UniqueFd control, pid_t pid,
            std::unique_ptr<OutputCapture> output = nullptr);
  // For a worker that is dead: what it left. `charged` are the elements that it had begun and not
  // answered for: one or none, unless it wrote what cannot be (`bad`).
  struct Death {
    Collected collected;  // outcomes found; `returned`: everything that had not begun
    Chunks attributed;
    std::string output;  // captured from the first of them
    detail::Stage stage = detail::Stage::idle;
    channel::ExitHint exit_hint = channel::ExitHint::none;
    std::string bad;      // not empty: what it left cannot be true
    bool useful = false;  // it had done or begun something in its life
    bool poison = false;  // charged though it had not begun: it was one loss too many
    std::optional<KillReason>
        kill_reason;  // what the first charged element ends with, if that was decided
    std::shared_ptr<detail::CrashReport const> crash{};  // what it wrote of its own; null: nothing
    os::UniqueFd
        control{};  // to be closed by os::close_socket: it may hold what was never received
  };
  Death reap();

  std::vector<std::uint64_t> task_ids() const;  // of what it holds

 private:
  // What a record carries, and the descriptor that goes ahead of it, -1: none.
  struct PayloadRef : channel::ParentEnd::PayloadRef {
    int file = -1;
  };

  bool has_input() const;  // mutex_ is held
  // All of these with mutex_ held. False: no room for it now; nothing of it went out.
  bool send_payload(PayloadRef const& payload_ref);
  bool put_share(std::shared_ptr<detail::Share> const& share, std::uint64_t inline_limit);
  bool put_function(detail::Task const& task, std::uint64_t inline_limit, std::size_t& slot);
  void put_forgotten(std::uint64_t inline_limit);
  enum class News : std::uint8_t { none, told, no_room };
  News put_memory_notices(std::uint64_t inline_limit);
  bool put_all(Chunk& chunk, PayloadRef payload_ref, std::shared_ptr<detail::MessageBlock> block,
               std::uint64_t inline_limit);

  std::optional<channel::ParentEnd::Running> running_of_channel() const;
  Revoked revoke_from(std::uint64_t serial);
  void note_stall(TimePoint now);
  void drain(Collected& collected);
  Item accept(channel::ParentEnd::Arrival const& arrival);
  detail::Payload receive(channel::ParentEnd::Arrival const& arrival);
  os::Memfd receive_file();
  Item resolve_front(std::uint64_t count, detail::Block block);
  bool read_capture();

  int const index_;
  std::atomic<std::uint64_t> inline_limit_{
      0};  // of any channel here; may be read without the mutex
  std::shared_ptr<BufferPool> const buffer_pool_;
  TimePoint (*const clock_)();
  mutable std::mutex mutex_;
  // All below guarded by mutex_; channel_ is null while there is no worker.
  std::unique_ptr<channel::ParentEnd> channel_;
  std::shared_ptr<PeerBuffers> peer_buffers_;  // what memory it shares with us
  os::UniqueFd control_;
  pid_t pid_ = 0;
  FunctionTable functions_;
  std::unordered_map<std::uint64_t, std::weak_ptr<detail::Share>> shares_;  // that the worker has
  std::uint64_t ended_shares_ = 0;  // Share::ended() when shares_ was last looked through
  // Of what lies ahead of a chunk that found no room: `missing` until the engine waits for it.
  enum class Room : std::uint8_t { enough, missing, awaited } room_ = Room::enough;
  Ledger ledger_;
  std::uint64_t revocations_ = 0;  // from all workers that were here
  bool answered_ = false;          // for at least one element
  std::uint64_t watched_ = 0;      // the serial seen to run
  TimePoint watched_since_{};      // none: nothing was
  // The front of the ledger that the worker neither runs, by its marks, nor has answered for.
  std::uint64_t stall_serial_ = 0;
  TimePoint stall_since_{};  // none: it is not so
  bool stalled_ = false;     // and is ended for that
  std::optional<KillReason> kill_reason_;
  std::atomic<bool> marked_for_kill_{false};  // sentence_ is set; may be read without the mutex
  std::string bad_;
  std::unique_ptr<OutputCapture> output_;
  std::uint32_t parked_ = 0;  // the number of the dispatcher's sleep, 0: awake to this worker
  unsigned spinners_ = 0;
};

}  // namespace procpool::inline v0::parent
