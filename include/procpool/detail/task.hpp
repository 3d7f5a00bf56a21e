#pragma once

// Task: one call of a verb as the compiled core sees it, and the entry in the ledger that says what
// became of it: one element for submit, one per input for map. The typed face appends encoded
// elements through the engine and takes blocks of outcomes; the engine delivers them, each element
// exactly once.
//
// wait and take belong to the one owner of the handle (as with std::future); everything else may be
// called from any thread. A task outlives its pool: the engine ends every element before it goes.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_set>
#include <vector>

#include <sys/types.h>

#include <procpool/detail/bytes.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/detail/function.hpp>
#include <procpool/detail/share.hpp>

namespace procpool::inline v0::detail {

// Consecutive encoded elements, immutable once the engine has them. With a fixed argument size they
// lie packed; otherwise each is preceded by its length as a std::uint64_t and `ends` holds, for each,
// where it ends. A chunk never spans two segments.
struct Segment {
  std::uint64_t first = 0;  // index in the task of the first element
  std::uint64_t count = 0;
  Bytes bytes;
  std::vector<std::uint64_t> ends;  // empty with a fixed argument size
  Share::List shares{};             // that its elements name
};

// Outcomes of consecutive elements.
struct Block {
  enum class Kind : std::uint8_t {
    values,  // payload: the results, packed when their size is fixed, else each behind its length
    thrown,  // one element; payload: the exception it threw, encoded in the worker
    failed   // no outcome from a worker: `failure` is the reason, for every element of the block
  };

  std::uint64_t first = 0;
  std::uint64_t count = 0;
  Kind kind = Kind::values;
  Payload payload;
  std::exception_ptr failure;
  int worker = -1;  // index of the worker that made it, -1: none
  pid_t pid = 0;
};

class PROCPOOL_API Task {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // chunk 0: the engine chooses.
  explicit Task(Function function, std::size_t chunk = 0);
  Task(Task const&) = delete;
  Task& operator=(Task const&) = delete;
  ~Task();

  std::uint64_t id() const noexcept { return id_; }
  Function const& function() const noexcept { return function_; }
  std::size_t chunk() const noexcept { return chunk_; }

  // Blocks until every element of a sealed task has ended, or until the deadline; says whether it has.
  bool wait_until(std::optional<TimePoint> deadline) const;
  bool ended() const noexcept;

  // The blocks that arrived since the last call, in the order of their arrival.
  std::vector<Block> take();

  // Keeps these until the task is gone: not only its elements name them, its results may too.
  void keep(Share::List const& shares);

  // For engines: `announce` before elements can run, `seal` when no more will come, `deliver` once per
  // element. Deliver wakes whoever waits.
  void announce(std::uint64_t elements);
  bool seal();  // false: it was sealed already
  void deliver(Block block);
  // Marks that what has not begun shall not; the engine acts on it.
  void cancel() noexcept { cancelled_.store(true, std::memory_order_release); }
  bool cancelled() const noexcept { return cancelled_.load(std::memory_order_acquire); }

 private:
  void end_if_complete();  // mutex_ is held

  Function const function_;
  std::size_t const chunk_;
  std::uint64_t const id_;
  unsigned const forks_;  // made after so many forks of the program: later children must not wait
  std::atomic<bool> cancelled_{false};

  mutable std::mutex mutex_;
  std::vector<Block> blocks_;  // guarded by mutex_, as are the four below
  std::uint64_t announced_ = 0;
  std::uint64_t delivered_ = 0;
  bool sealed_ = false;
  std::unordered_set<std::shared_ptr<Share>> kept_;
  mutable std::atomic<std::uint32_t> ended_{
      0};  // futex word: 0 open, 1 open with sleepers, 2 ended
};

}  // namespace procpool::inline v0::detail
