#pragma once

// The plain values of the face: options of a pool and of a call, what shutdown did, what stats count.
// The order of option members is API: new ones go to the end.

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <procpool/detail/callbacks.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/progress.hpp>

namespace procpool::inline v0 {

// A number of things. Takes any integral type, so that a negative one is seen as such and refused where
// it is used, with a sentence, instead of becoming enormous.
class Count {
 public:
  template <std::integral I>
    requires(!std::same_as<I, bool>)
  constexpr Count(I value) noexcept  // NOLINT(google-explicit-constructor): a number is a Count
      : negative_(std::signed_integral<I> && value < I{}),
        value_(static_cast<std::uint64_t>(value)) {}

  // The value if it lies in [1, most]; otherwise throws std::invalid_argument that names `what`.
  PROCPOOL_API std::size_t checked(std::string_view what, std::size_t most) const;

 private:
  bool negative_;
  std::uint64_t value_;
};

// The most that is taken for a number by an option.
inline constexpr std::size_t most_workers = 4096;
inline constexpr std::size_t most_chunk = std::size_t{1} << 20;
inline constexpr std::size_t most_window = std::size_t{1} << 30;
inline constexpr std::size_t most_slices = std::size_t{1} << 30;
inline constexpr std::size_t most_retries = 1'000'000;
inline constexpr std::size_t most_tasks_per_worker = std::size_t{1} << 40;

// Where tasks run.
enum class Start {
  spawn,      // in worker processes, each a fresh execution of this program
  in_process  // in the calling thread, inside submit and map: for debuggers; nothing is isolated
};

// How a pool ends.
enum class End {
  drain,   // everything accepted is run
  cancel,  // what runs is finished, what has not begun ends with TaskCancelled
  kill     // workers are killed, everything that has not ended ends with TaskCancelled
};

// What a call over a range does when elements of it fail.
enum class OnError {
  stop,    // throws the first failure by index, as a loop would; nothing behind it begins any more
  finish,  // runs all elements, then throws the first failure by index
  collect  // runs all elements, then throws ElementErrors with every failure
};

// When an element that failed is run again, and how often. A number stands for: so many times, after a
// crash of its worker or a timeout. An element that was cancelled is never run again.
struct Retries {
  template <std::integral I>
    requires(!std::same_as<I, bool>)
  Retries(I most) noexcept : times(most) {}  // NOLINT(google-explicit-constructor): as Count

  // Also after an exception of this type, or derived from it, that the function threw.
  template <class E>
  Retries& on() & {
    exceptions.push_back([](std::exception_ptr const& error) {
      try {
        std::rethrow_exception(error);
      } catch (E const&) {
        return true;
      } catch (...) {
        return false;
      }
    });
    return *this;
  }
  template <class E>
  Retries&& on() && {
    return std::move(on<E>());
  }

  // Before so-and-so many-th attempt after the first.
  std::chrono::milliseconds backoff_before(std::size_t attempt) const {
    constexpr std::size_t most_doublings = 20;
    return backoff *
           (std::int64_t{1} << (attempt - 1 < most_doublings ? attempt - 1 : most_doublings));
  }

  Count times;             // after the first
  bool on_crash = true;    // WorkerDied, BadMessage
  bool on_timeout = true;  // TaskTimeout of an element that ran
  // How long to wait before the first of them; twice as long before each further one.
  std::chrono::milliseconds backoff{0};
  std::vector<bool (*)(std::exception_ptr const&)> exceptions;
};

// Options of one call, given ahead of the verb: pool.with({.chunk = 64}).map<f>(xs). What is not given
// comes from PoolOptions::defaults. An option that a verb has no use for is refused by
// std::invalid_argument.
struct CallOptions {
  // map, starmap, try_map, imap and their kin: how many consecutive elements travel together. Not
  // given: chosen by the measured cost of an element. Never a unit of failure, cancelling or blame.
  std::optional<Count> chunk{};
  // imap, imap_unordered: after k results at most k + window inputs were read. Not given: begins with
  // 4 x workers and grows while a window is taken in less than 50 ms, up to 4096 x workers and 64 MiB.
  std::optional<Count> window{};
  // parallelize: how many slices; not given: one per worker. parallelize_reduce: four per worker. Fewer
  // if there are not so many elements.
  std::optional<Count> slices{};
  // map, starmap, parallelize and their kin. Not given: stop.
  std::optional<OnError> on_error{};
  // Calls over ranges: told how far it has come; see progress.hpp. map and the others that block
  // return after it was told of the end, unless there is an executor.
  ProgressCallback progress{};
  // Where continuations, callbacks and progress run; not given: on the pool's callback thread.
  Executor executor{};
  // How long an element may run, from its begin. One that takes longer is ended with its worker: SIGTERM,
  // then SIGKILL after PoolOptions::term_grace; it ends with TaskTimeout, nothing else is touched.
  std::optional<std::chrono::milliseconds> timeout{};
  // How long an element may wait, from its submit to its begin. After that it never runs, and ends with
  // TaskTimeout.
  std::optional<std::chrono::milliseconds> queue_timeout{};
  // How often an element that failed is run again. Not given: never, since it may have done half of what
  // it does. What it ends with in the end also tells what became of the earlier attempts.
  std::optional<Retries> retries{};
  // Among what waits, higher ones go first; equal ones in the order of their submits. Not given: 0.
  // What a worker has already been given is not called back for it.
  std::optional<int> priority{};
};

// What cancel() found, and did.
enum class Cancel {
  too_late,     // all had ended already
  never_began,  // what had not ended had not begun, and never will
  ended         // something was running: its worker was ended
};

namespace detail {
struct Function;
}

// A call with its arguments, made by bound().
class BoundCall {
 public:
  // For bound().
  explicit BoundCall(std::shared_ptr<detail::Function const> function) noexcept
      : function_(std::move(function)) {}
  detail::Function const& function() const noexcept { return *function_; }

 private:
  std::shared_ptr<detail::Function const> function_;
};

// What each worker may use at most. Not given: as much as the program itself.
struct Limits {
  // Bytes of memory of its own: heap and private writable mappings (RLIMIT_DATA). A task that wants more
  // gets std::bad_alloc.
  std::optional<std::uint64_t> memory{};
  // Bytes of address space (RLIMIT_AS). Counts libraries and the pool's own mappings too.
  std::optional<std::uint64_t> address_space{};
  // CPU time over the worker's whole life (RLIMIT_CPU): SIGXCPU, and SIGKILL a second later. Goes well
  // with max_tasks_per_worker.
  std::optional<std::chrono::seconds> cpu_time{};
  // Descriptors below which a task may open files (RLIMIT_NOFILE). The pool's own lie above.
  std::optional<std::uint64_t> open_files{};
  // Bytes of a core file (RLIMIT_CORE). Not given: none is written.
  std::optional<std::uint64_t> core_size{};
};

struct PoolOptions {
  // Worker processes; not given: cpu_count(). 1 to 4096.
  std::optional<Count> workers{};
  // Seen in `ps` and in error texts.
  std::string name = "pool";
  Start start = Start::spawn;
  // What the destructor does. With End::drain it waits for accepted work, and logs after 10 s what it
  // waits for; at at_exit_deadline (none: never) what is left is killed. While an exception unwinds
  // that was not there at construction it kills.
  End at_exit = End::drain;
  std::optional<std::chrono::milliseconds> at_exit_deadline{};
  // What every call begins with.
  CallOptions defaults{};
  // How long a worker may take from its creation to its first word.
  std::chrono::milliseconds start_timeout{60'000};
  // How long a worker that was asked to leave may take (static destructors, coverage files) until it
  // gets SIGTERM, and then again until it gets SIGKILL.
  std::chrono::milliseconds stop_grace{5'000};
  // Where the pool's rare messages go; not given: standard error. Called from threads of the pool.
  std::function<void(std::string_view)> log{};
  // How long a task that is ended, by a deadline or by cancel(), has from SIGTERM to SIGKILL.
  std::chrono::milliseconds term_grace{25};
  // A worker that has been given so many elements is replaced by a fresh one once they have ended. 1:
  // every element has a process of its own. Not given: workers stay.
  std::optional<Count> max_tasks_per_worker{};
  // Added to the environment of the workers, or replacing what is there. Where neither this nor the
  // program's environment sets them, OMP_NUM_THREADS, OPENBLAS_NUM_THREADS, MKL_NUM_THREADS,
  // BLIS_NUM_THREADS and NUMEXPR_NUM_THREADS are set to the usable CPUs divided by the workers.
  std::map<std::string, std::string> environment{};
  Limits limits{};
  // Called in each worker before its first element: .initializer = bound<connect>("host"). It has
  // start_timeout for it. If it fails while no worker is ready, the pool has failed: what waits, and every
  // later call, ends with its error.
  std::optional<BoundCall> initializer{};
};

// What shutdown did, in elements and workers.
struct Summary {
  std::uint64_t done = 0;       // ended with a value or an error of their own, over the pool's life
  std::uint64_t cancelled = 0;  // ended with TaskCancelled
  unsigned forced = 0;          // workers that had to be killed at the end
};

// Counters of a pool, in elements. queued + running + done = submitted at every moment.
struct Stats {
  std::uint64_t submitted = 0;
  std::uint64_t queued = 0;   // accepted, not begun
  std::uint64_t running = 0;  // begun, not ended
  std::uint64_t done = 0;     // ended, in whatever way
  std::uint64_t records = 0;  // chunks that travelled to a worker
  std::uint64_t worker_starts = 0;
  std::uint64_t worker_deaths = 0;  // ends that nobody asked for
  unsigned workers = 0;             // ready at this moment
};

}  // namespace procpool::inline v0
