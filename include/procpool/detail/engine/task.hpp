// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Task: one call of an operation as the compiled core sees it, and what became of it: one element
// for submit, one per input for map. The public API appends encoded elements through the engine and
// takes blocks of outcomes. The engine delivers the outcome of each element exactly once.
//
// take and wait_for_block belong to the one owner of the handle (as with std::future); everything
// else may be called from any thread. A task outlives its pool: the engine ends every element
// before it goes.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include <procpool/detail/async/completion.hpp>
#include <procpool/detail/call/function.hpp>
#include <procpool/detail/engine/bytes.hpp>
#include <procpool/detail/engine/mutex.hpp>
#include <procpool/detail/engine/task_control.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/detail/handle/resource.hpp>
#include <procpool/detail/operations/progress_report.hpp>

namespace procpool::inline v0_1::detail {

// Consecutive encoded elements, immutable once the engine has them. With a fixed argument size they
// lie packed; otherwise each is preceded by its length as a std::uint64_t and `ends` holds, for
// each of several, where it ends. A chunk never spans two buffers.
struct InputBuffer {
  std::uint64_t first = 0;  // index in the task of the first element
  std::uint64_t count = 0;
  Bytes bytes;
  std::vector<std::uint64_t> ends;  // empty with a fixed argument size, and for a single element
  Resource::List resources{};       // that its elements name
};

// Attempts at an element that failed: how many, and how the last of them did. What they say came
// from workers, and there may be very many: a text has at most so many bytes, and only so many
// texts are kept.
struct Attempts {
  static constexpr std::size_t max_told = 4;
  static constexpr std::size_t max_bytes = 512;

  std::uint64_t failed = 0;
  std::vector<std::string> told{};  // in their order
};

// Outcomes of consecutive elements.
struct OutcomeBlock {
  enum class Kind : std::uint8_t {
    values,  // payload: the results, packed when their size is fixed, else each behind its length
    thrown,  // one element; payload: the exception it threw, encoded in the worker
    failed   // no outcome from a worker: `failure` is the reason, for every element of the block
  };

  std::uint64_t first = 0;
  std::uint64_t count = 0;
  Kind kind = Kind::values;
  bool cancelled = false;  // failed, because it was not wanted any more
  bool begun = false;      // failed, though it had begun
  Payload payload;
  std::exception_ptr failure;
  std::shared_ptr<Resource::List const> resources{};  // that the payload may name; null: none
  int worker = -1;                                    // index of the worker that ran them, -1: none
  pid_t pid = 0;                                      // of that worker
  std::shared_ptr<std::string const> host{};          // of that worker; null: this machine
  std::uint64_t nanoseconds = 0;  // for all these elements, as the worker says; 0: not known
  std::chrono::steady_clock::time_point ended{};  // of a detailed task: set by deliver()
};

struct TaskOptions {
  std::size_t chunk = 0;       // 0: the engine chooses
  bool stop_on_error = false;  // a failure cancels what lies behind it
  // Elements come as long as results are taken. The end of a pool does not wait for them.
  bool stream = false;
  bool internal = false;          // the pool's own, counted nowhere
  bool refuse_when_full = false;  // whatever `control` says
  bool detailed = false;          // its owner wants to know times, attempts and output
  std::shared_ptr<CallContext const> context{};
  std::shared_ptr<ProgressReport> progress{};
  TaskControl const* control =
      nullptr;  // null: the usual; lives as long as the task, as the context's does
};

class PROCPOOL_API Task : public Completion {
 public:
  explicit Task(Function function, TaskOptions options = {});
  ~Task();

  std::uint64_t id() const noexcept { return id_; }
  std::string name() const;  // for texts: task 3 "the label"
  Function const& function() const noexcept { return function_; }
  std::size_t chunk() const noexcept { return chunk_; }
  bool stop_on_error() const noexcept { return stop_on_error_; }
  bool stream() const noexcept { return stream_; }
  bool internal() const noexcept { return internal_; }
  bool detailed() const noexcept { return detailed_; }
  int priority() const noexcept { return control_->priority; }
  Label const& label() const noexcept { return control_->label; }
  bool on_each_worker() const noexcept { return control_->on_each_worker; }
  std::optional<Key> const& key() const noexcept { return control_->key; }
  WhenFull when_full() const noexcept {
    return refuse_when_full_ ? WhenFull::refuse : control_->when_full;
  }
  std::optional<Retries> const& retries() const noexcept { return control_->retries; }
  ProgressReport* progress() const noexcept { return progress_.get(); }
  std::optional<std::chrono::milliseconds> timeout() const noexcept { return control_->timeout; }
  std::optional<std::chrono::milliseconds> queue_timeout() const noexcept {
    return control_->queue_timeout;
  }
  std::optional<TimePoint> const& deadline() const noexcept { return control_->deadline; }
  // Time may end what runs of it.
  bool timed() const noexcept { return control_->timeout || control_->deadline; }
  // Time may end what waits of it.
  bool expires() const noexcept { return control_->queue_timeout || control_->deadline; }

  // The blocks that arrived since the last call, in the order of their arrival.
  std::vector<OutcomeBlock> take();

  // The outcome of a task that has one element, no stream, and has ended. Once.
  OutcomeBlock take_only();

  // For Completion.
  void report_lost() noexcept;

  // Streams only. Blocks until a block has arrived (the one with this element, if one is named) or
  // the task has ended.
  void wait_for_block(std::optional<std::uint64_t> element);

  // The same without waiting: `callback` is called then, once, as at the end of a completion. False:
  // it has arrived, and nothing was taken.
  bool call_at_block(std::optional<std::uint64_t> element, std::unique_ptr<Callback>&& callback);

  struct Counts {
    std::uint64_t announced = 0;
    std::uint64_t delivered = 0;
    std::uint64_t failed = 0;     // of these
    std::uint64_t cancelled = 0;  // of these
    std::uint64_t stopped = 0;    // of the cancelled: they had begun
    bool sealed = false;          // no more will be announced
  };
  Counts counts() const;

  std::optional<std::uint64_t> const& random_name() const noexcept { return control_->stream; }
  // What the random streams of its elements derive from; set by the engine before it announces any,
  // unless it was set before.
  void set_random(std::uint64_t random) noexcept { random_ = random; }
  std::uint64_t random() const noexcept { return random_; }

  // For engines. What an element has written, where that is captured; before its outcome. Streams
  // have no place for it, unless they are detailed.
  void add_output(std::uint64_t element, std::string text);
  std::string output(std::uint64_t element) const;
  std::string take_output(std::uint64_t element);
  // Some elements have output, or attempts that failed.
  bool has_special_elements() const;

  // For detailed tasks. These elements are about to be handed to the engine.
  void note_queued(std::uint64_t first, std::uint64_t count);
  // When the elements of a block were. Once for each block.
  std::optional<TimePoint> queued(OutcomeBlock const& block);

  // For engines. Notes a failed attempt at an element, and its text. False: it was the last attempt.
  bool attempt_failed(std::uint64_t element, std::string const& how);
  Attempts earlier_attempts(std::uint64_t element) const;

  // For engines: `announce` before elements can run, `seal` when no more will come, `deliver` once
  // per element. `deliver` wakes the waiting threads. `announce` with `last` seals the task too, and
  // returns true unless it was sealed before.
  bool announce(std::uint64_t elements, bool last = false);
  // All elements of a task that no other thread has yet. Seals it.
  void announce_all(std::uint64_t elements);
  bool seal();  // false: it was sealed already
  void deliver(OutcomeBlock block);
  // Marks that what has not begun of the elements from `first` on shall not; the engine acts on it.
  // False: that much was marked before.
  bool cancel_from(std::uint64_t first) noexcept;
  std::uint64_t cancelled_from() const noexcept {
    return cancelled_from_.load(std::memory_order_acquire);
  }
  // The worker that the last of its elements were given to, and how long one of them takes as far as
  // is known. A hint.
  struct Placement {
    std::uint32_t worker = 0;
    std::uint32_t nanoseconds = 0;  // 0: not known; the largest number: that or longer
  };
  void placed(Placement placement) noexcept {
    placement_.store(std::uint64_t{placement.worker + 1} << 32 | placement.nanoseconds,
                     std::memory_order_relaxed);
  }
  // Nothing: no worker has any of them.
  std::optional<Placement> placement() const noexcept {
    std::uint64_t const known = placement_.load(std::memory_order_relaxed);
    if (known == 0) return std::nullopt;
    return Placement{static_cast<std::uint32_t>(known >> 32) - 1,
                     static_cast<std::uint32_t>(known)};
  }
  // It has one element, and gets no other.
  bool is_single() const noexcept { return single_.load(std::memory_order_relaxed); }
  // Something that ran was asked to stop.
  void mark_asked() noexcept { asked_.store(true, std::memory_order_relaxed); }
  bool was_asked() const noexcept { return asked_.load(std::memory_order_relaxed); }
  // Beside that: what runs shall be ended.
  void mark_for_end() noexcept { for_end_.store(true, std::memory_order_release); }
  bool marked_for_end() const noexcept { return for_end_.load(std::memory_order_acquire); }

 private:
  bool completes() PROCPOOL_REQUIRES(mutex_);  // true once
  bool is_awaited(OutcomeBlock const& block) const PROCPOOL_REQUIRES(mutex_);
  bool has_arrived() const PROCPOOL_REQUIRES(mutex_);  // what is awaited
  void tell_block() noexcept PROCPOOL_EXCLUDES(mutex_);
  void tell(bool complete) PROCPOOL_EXCLUDES(mutex_);

  struct Rare;  // state that only some tasks ever have, so that the many others are small
  Rare& rare() PROCPOOL_REQUIRES(mutex_);

  Function const function_;
  std::shared_ptr<ProgressReport> const progress_;
  TaskControl const* const control_;
  std::size_t const chunk_;
  bool const stop_on_error_;
  bool const stream_;
  bool const internal_;
  bool const refuse_when_full_;
  bool const detailed_;
  std::uint64_t const id_;
  std::atomic<std::uint64_t> cancelled_from_{std::numeric_limits<std::uint64_t>::max()};

  std::atomic<bool> for_end_{false};
  std::atomic<bool> asked_{false};
  std::atomic<bool> single_{false};
  std::atomic<std::uint64_t> placement_{0};  // the worker + 1 in its upper half
  std::uint64_t random_ = 0;

  mutable Mutex mutex_;
  // The only block that most tasks ever get; not of streams.
  std::optional<OutcomeBlock> first_block_ PROCPOOL_GUARDED_BY(mutex_);
  std::vector<OutcomeBlock> blocks_ PROCPOOL_GUARDED_BY(mutex_);  // behind it
  Counts counts_ PROCPOOL_GUARDED_BY(mutex_);
  bool complete_ PROCPOOL_GUARDED_BY(mutex_) = false;
  bool waiting_ PROCPOOL_GUARDED_BY(mutex_) = false;  // a thread sleeps on block_arrived
  std::optional<std::uint64_t> awaited_ PROCPOOL_GUARDED_BY(mutex_);  // nothing: any element
  std::unique_ptr<Rare> rare_ PROCPOOL_GUARDED_BY(mutex_);
};

}  // namespace procpool::inline v0_1::detail
