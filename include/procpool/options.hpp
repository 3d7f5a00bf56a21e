#pragma once

// PoolOptions: the properties of a pool. The order of the members is API: new ones go to the end.
// Times may be given in any unit. A time that is too long to be counted is for ever.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <procpool/call_options.hpp>
#include <procpool/count.hpp>
#include <procpool/detail/codec/exception_types.hpp>
#include <procpool/duration.hpp>
#include <procpool/stats.hpp>

namespace procpool::inline v0 {

/// Where tasks run.
enum class Start {
  /// In worker processes, each a fresh execution of this program.
  spawn,
  /// In the calling thread, inside submit and map. For debuggers: nothing is isolated.
  in_process,
  /// In worker processes that are forked from one fork server: a fresh execution of this program
  /// that has run static initialization and nothing else. A worker starts in the time of a fork,
  /// and idle workers share their pages. For many workers, for short-lived ones
  /// (max_tasks_per_worker), and for programs with a long static initialization.
  ///
  /// Differences from `spawn`: static initialization runs once, not once per worker. So all workers
  /// have its random numbers, its address layout and its open files. Its timers are the fork
  /// server's alone. A program whose static initialization starts a thread cannot be forked safely:
  /// its workers are spawned, and the log says so. The fork server does not count as a worker. If
  /// the fork server dies, workers go on and there is a new one. Errors are those of `spawn`. How a
  /// worker ended may be unknown if its fork server died before it.
  forkserver
};

/// How a pool ends.
enum class End {
  /// Every accepted element is run.
  drain,
  /// Running elements are finished. Elements that have not begun end with TaskCancelled.
  cancel,
  /// Workers are killed. Every element that has not ended ends with TaskCancelled.
  kill
};

namespace detail {
struct Function;
}

/// A call with its arguments, made by bound().
class BoundCall {
 public:
  /// For bound().
  explicit BoundCall(std::shared_ptr<detail::Function const> function) noexcept
      : function_(std::move(function)) {}
  /// For the pool.
  detail::Function const& function() const noexcept { return *function_; }

 private:
  std::shared_ptr<detail::Function const> function_;
};

/// The most that each worker may use. Not given: as much as the program itself.
struct Limits {
  /// Bytes of memory of its own: heap and private writable mappings (RLIMIT_DATA). A task that
  /// wants more gets std::bad_alloc.
  std::optional<std::uint64_t> memory{};
  /// Bytes of address space (RLIMIT_AS). Libraries and the pool's own mappings count too.
  std::optional<std::uint64_t> address_space{};
  /// CPU time over the worker's whole life (RLIMIT_CPU): SIGXCPU, and SIGKILL a second later. Goes
  /// well with max_tasks_per_worker.
  std::optional<Seconds> cpu_time{};
  /// Descriptors below which a task may open files (RLIMIT_NOFILE). The pool's own lie above.
  std::optional<std::uint64_t> open_files{};
  /// Bytes of a core file (RLIMIT_CORE). Not given: none is written.
  std::optional<std::uint64_t> core_size{};
};

/// Where the standard output and standard error of workers go.
enum class Output {
  /// To those of the program.
  inherit,
  /// Nowhere.
  drop,
  /// To the element that ran: Future::output(), Results::output(), Outcome::output().
  capture
};

/// The properties of a pool. A pool checks them when it is made, and throws std::invalid_argument
/// for values that make no sense.
struct PoolOptions {
  /// Worker processes, 1 to 4096. Not given: the value of the environment variable
  /// PROCPOOL_WORKERS, else cpu_count().
  std::optional<Count> workers{};
  /// Shown in `ps`, in error texts and in the log: at most 255 bytes, no control characters.
  std::string name = "pool";
  /// Where tasks run.
  Start start = Start::spawn;
  /// What the destructor does. With End::drain the destructor waits for accepted work, and after 10
  /// s it logs the work that it waits for. At at_exit_deadline (none: never) the rest is killed.
  /// The destructor kills if an exception unwinds that was not there when the pool was made.
  End at_exit = End::drain;
  /// How long the destructor waits. Not given: for ever.
  std::optional<Milliseconds> at_exit_deadline{};
  /// The options that every call begins with.
  CallOptions defaults{};
  /// How long a worker may take from its creation to its first word.
  Milliseconds start_timeout{std::chrono::milliseconds(60'000)};
  /// How long a worker that was asked to leave may take (static destructors, coverage files) until
  /// it gets SIGTERM, and then again until it gets SIGKILL.
  Milliseconds stop_grace{std::chrono::milliseconds(5'000)};
  /// Takes the pool's rare messages. Not given: standard error. Called from threads of the pool.
  std::function<void(std::string_view)> log{};
  /// How long a task that is ended, by a deadline or by cancel(), has from SIGTERM to SIGKILL.
  Milliseconds term_grace{std::chrono::milliseconds(25)};
  /// A worker that has been given so many elements is replaced by a fresh one once they have ended.
  /// 1: every element has a process of its own. Not given: workers stay.
  std::optional<Count> max_tasks_per_worker{};
  /// Added to the environment of the workers. An entry replaces the program's entry of the same
  /// name. OMP_NUM_THREADS, OPENBLAS_NUM_THREADS, MKL_NUM_THREADS, BLIS_NUM_THREADS and
  /// NUMEXPR_NUM_THREADS are set to the usable CPUs divided by the workers, unless this or the
  /// program's environment sets them.
  std::map<std::string, std::string> environment{};
  /// The most that each worker may use.
  Limits limits{};
  /// Called in each worker before its first element: .initializer = bound<connect>("host"). It has
  /// start_timeout to end. If it fails while no worker is ready, the pool has failed: waiting
  /// elements and every later call end with its error.
  std::optional<BoundCall> initializer{};
  /// Called in each worker that leaves in good order (at the pool's end, recycled, idle, by
  /// resize), after its last element. It has stop_grace to end. Its exceptions are logged.
  std::optional<BoundCall> exit_handler{};
  /// How many elements may be accepted and not begun. A call that would exceed this does what
  /// CallOptions::when_full says. Elements of streams are not held up: they have a window. Not
  /// given: no limit.
  std::optional<Count> queue_limit{};
  /// Bytes. A worker with more resident memory than this after an element is replaced before it
  /// begins another.
  std::optional<std::uint64_t> recycle_above{};
  /// A worker is replaced after this time, or up to a fifth earlier, so that not all are replaced
  /// at once. It ends what it runs.
  std::optional<Milliseconds> recycle_after{};
  /// A worker that had nothing to do for so long leaves. A new one comes when there is more work
  /// than the others manage. Not given: workers stay.
  std::optional<Milliseconds> idle_timeout{};
  /// The CPUs that workers are pinned to: worker i to the (i modulo their number)-th. Not given:
  /// wherever the program may run.
  std::vector<int> cpus{};
  /// Added to the program's nice value, 0 to 39.
  int nice = 0;
  /// How deep pools may be used in tasks of pools, this pool counted. A pool that is deeper throws
  /// SetupError.
  Count nesting_limit = 4;
  /// The seed of all this_task::random() streams. Not given: drawn at random.
  std::optional<std::uint64_t> seed{};
  /// How long a task that listens to this_task::stop_requested() or stop_token() has, once it was
  /// asked to stop, until it is ended by force.
  Milliseconds ask_grace{std::chrono::milliseconds(500)};
  /// Where the standard output and standard error of workers go.
  Output output = Output::inherit;
  /// The most that is kept of an element's captured output, in bytes: its end.
  Count output_limit = 64 * 1024;
  /// Workers get less of the program's rights: no new privileges (set-user-id programs do not
  /// work), and no other process may look into them. Of the environment they get PATH,
  /// LD_LIBRARY_PATH, HOME, USER, LANG, LC_*, TZ, TMPDIR and the entries of `environment`.
  bool harden = false;
  /// A folder of cgroup version 2 in which the program may make groups. Each worker then lives in a
  /// group of its own. Everything that the worker started ends with it, also processes that have
  /// left its process group. Not given: processes that left the group (setsid) live on.
  std::string cgroup{};
  /// Workers ignore SIGTERM from outside. For services: a manager that stops a service sends the
  /// signal to all its processes. The program's own handler may then close() and join() the pool,
  /// so that running elements are finished. A task's own children are not protected. A task that
  /// exceeds its timeout is ended all the same.
  bool ignore_sigterm = false;
  /// Exceptions of the program's own that come back as themselves: .exceptions =
  /// exception_types<my::ParseError, my::Error>(), see exceptions.hpp. Other exceptions come back
  /// as the nearest class of the standard library that they derive from.
  ExceptionTypes exceptions{};
};

}  // namespace procpool::inline v0
