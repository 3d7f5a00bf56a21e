// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// PoolOptions: the properties of a pool, in groups. The order of the members is API: new ones go to
// the end of their group. Times may be given in any unit. A time that is too long to be counted is
// for ever.

#include <chrono>
#include <cstdint>
#include <functional>
#include <iosfwd>
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
#include <procpool/engine.hpp>
#include <procpool/event.hpp>
#include <procpool/stats.hpp>

namespace procpool::inline v0_1 {

/// Where tasks run.
enum class Start {
  /// In worker processes, each a fresh execution of this program.
  spawn,
  /// In the calling thread, inside submit and map. For debuggers: nothing is isolated.
  in_process,
  /// In worker processes that are forked from one fork server: a fresh execution of this program
  /// that has run static initialization and nothing else. A worker starts in the time of a fork,
  /// and idle workers share their pages. For many workers, for short-lived ones
  /// (LifetimeOptions::max_tasks), and for programs with a long static initialization.
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
struct BoundCallAccess;
}  // namespace detail

/// A call with its arguments, made by bound().
class BoundCall {
 public:
  /// The same function with equal arguments.
  PROCPOOL_API bool operator==(BoundCall const& other) const noexcept;

 private:
  friend struct detail::BoundCallAccess;
  explicit BoundCall(std::shared_ptr<detail::Function const> function) noexcept
      : function_(std::move(function)) {}

  std::shared_ptr<detail::Function const> function_;
};

namespace detail {

// For bound(), and for the pool.
struct BoundCallAccess {
  static BoundCall make(std::shared_ptr<Function const> function) noexcept {
    return BoundCall(std::move(function));
  }
  static Function const& function(BoundCall const& call) noexcept { return *call.function_; }
};

}  // namespace detail

/// How workers start, and what they begin and end with.
struct StartOptions {
  /// Where tasks run.
  Start method = Start::spawn;
  /// How long a worker may take from its creation to its first word, the initializer included.
  Milliseconds timeout{std::chrono::milliseconds(60'000)};
  /// Called in each worker before its first element: .initializer = bound<connect>("host"). It has
  /// `timeout` to end. If it fails while no worker is ready, the pool has failed: waiting elements
  /// and every later call end with its error.
  std::optional<BoundCall> initializer{};
  /// Called in each worker that leaves in good order (at the pool's end, recycled, idle, by
  /// resize), after its last element. It has ShutdownOptions::stop_grace to end. Its exceptions are
  /// logged.
  std::optional<BoundCall> exit_handler{};
  /// Added to the environment of the workers. An entry replaces the program's entry of the same
  /// name. OMP_NUM_THREADS, OPENBLAS_NUM_THREADS, MKL_NUM_THREADS, BLIS_NUM_THREADS and
  /// NUMEXPR_NUM_THREADS are set to the usable CPUs divided by the workers, unless this or the
  /// program's environment sets them.
  std::map<std::string, std::string> environment{};
  /// Further variables of the worker at each place, 0 to workers - 1, in place of others of the same
  /// name: .worker_environment = [](int worker) { return ...; }. Replacements get those of their
  /// place. With Start::spawn they are there before static initialization. With Start::forkserver,
  /// where that has run once for all, they are there from the fork on, before the initializer. The
  /// pool calls it once for each place, on the thread that makes or resizes the pool. That thread
  /// gets SetupError if it throws. It is not called for actors, nor with Start::in_process.
  std::function<std::map<std::string, std::string>(int worker)> worker_environment{};
  /// With Start::forkserver: called once in the fork server, before the first worker is forked:
  /// .preload = bound<load_model>(path). All workers share the memory that it fills, until one
  /// writes to a page. It puts its result into a variable with static storage, where tasks find it.
  /// It has `timeout` to end, and must leave no thread behind. If it fails while no worker is ready,
  /// the pool has failed, as with `initializer`. PoolOptions::limits, placement and harden begin
  /// with each worker, and what it has filled does not count for limits.memory,
  /// limits.address_space and lifetime.recycle_above. With Start::in_process the first call makes
  /// it, in this process. Refused with Start::spawn, and if its arguments have handles.
  std::optional<BoundCall> preload{};
  /// The program that workers execute, for a library whose main is another's, such as an
  /// interpreter's: it opens the library and becomes a worker. Not given: in such a library the
  /// installed `procpool-worker`, which is searched beside the library that procpool is in, and
  /// elsewhere the program itself. The environment variable PROCPOOL_WORKER_PROGRAM may name it too.
  std::string worker_program{};

  /// Functions are compared as in CallOptions.
  PROCPOOL_API bool operator==(StartOptions const& other) const;
};

/// How long workers stay. Not given: as long as the pool.
struct LifetimeOptions {
  /// Elements, not calls: a map over a hundred elements counts as a hundred. A worker that has been
  /// given so many is replaced by a fresh one once they have ended. 1: every element has a process
  /// of its own.
  std::optional<Count> max_tasks{};
  /// Bytes. A worker with more resident memory than this after an element is replaced before it
  /// begins another.
  std::optional<std::uint64_t> recycle_above{};
  /// A worker is replaced after this time, or up to a fifth earlier, so that not all are replaced
  /// at once. It ends what it runs.
  std::optional<Milliseconds> recycle_after{};
  /// A worker that had nothing to do for so long leaves. A new one comes when there is more work
  /// than the others manage.
  std::optional<Milliseconds> idle_timeout{};

  bool operator==(LifetimeOptions const&) const = default;
};

/// The most that each worker may use. Not given: as much as the program itself.
struct Limits {
  /// Bytes of memory of its own: heap and private writable mappings (RLIMIT_DATA). A task that
  /// wants more gets std::bad_alloc.
  std::optional<std::uint64_t> memory{};
  /// Bytes of address space (RLIMIT_AS). Libraries and the pool's own mappings count too.
  std::optional<std::uint64_t> address_space{};
  /// CPU time over the worker's whole life (RLIMIT_CPU): SIGXCPU, and SIGKILL a second later. Goes
  /// well with LifetimeOptions::max_tasks.
  std::optional<Seconds> cpu_time{};
  /// Descriptors below which a task may open files (RLIMIT_NOFILE). The pool's own lie above.
  std::optional<std::uint64_t> open_files{};
  /// Bytes of a core file (RLIMIT_CORE). Not given: none is written.
  std::optional<std::uint64_t> core_size{};

  bool operator==(Limits const&) const = default;
};

/// How the pool ends, and how workers and tasks are ended.
struct ShutdownOptions {
  /// What the destructor does. With End::drain the destructor waits for accepted work, and after 10
  /// s it logs the work that it waits for. After `timeout` the rest is killed. The destructor kills
  /// if an exception unwinds that was not there when the pool was made.
  End at_exit = End::drain;
  /// How long the destructor waits. Not given: for ever.
  std::optional<Milliseconds> timeout{};
  /// How long a worker that was asked to leave may take (static destructors, coverage files) until
  /// it gets SIGTERM, and then again until it gets SIGKILL.
  Milliseconds stop_grace{std::chrono::milliseconds(5'000)};
  /// How long a task that listens to this_task::stop_requested() or stop_token() has, once it was
  /// asked to stop, until it is ended by force.
  Milliseconds ask_grace{std::chrono::milliseconds(500)};
  /// How long a task that is ended, by a timeout or by cancel(), has from SIGTERM to SIGKILL.
  Milliseconds term_grace{std::chrono::milliseconds(25)};
  /// Workers ignore SIGTERM from outside. For services: a manager that stops a service sends the
  /// signal to all its processes. The program's own handler may then close() and join() the pool,
  /// so that running elements are finished. A task's own children are not protected. A task that
  /// exceeds its timeout is ended all the same.
  bool ignore_sigterm = false;

  bool operator==(ShutdownOptions const&) const = default;
};

/// Where workers run.
struct PlacementOptions {
  /// The CPUs that workers are pinned to: worker i to the (i modulo their number)-th. Not given:
  /// wherever the program may run.
  std::vector<int> cpus{};
  /// Each worker is pinned to so many CPUs of `cpus`, or of those that the program may use: worker 0
  /// to the first ones, worker 1 to the next ones, and so on around. Then OMP_NUM_THREADS and its
  /// kin are set to it, and the pool has by default as many workers as there are such parts.
  std::optional<Count> cpus_per_worker{};
  /// Added to the program's nice value, 0 to 39.
  int nice = 0;
  /// A folder of cgroup version 2 in which the program may make groups. Each worker then lives in a
  /// group of its own. Everything that the worker started ends with it, also processes that have
  /// left its process group. Not given: processes that left the group (setsid) live on.
  std::string cgroup{};

  bool operator==(PlacementOptions const&) const = default;
};

/// Where the standard output and standard error of workers go.
enum class Output {
  /// To those of the program.
  inherit,
  /// Nowhere.
  drop,
  /// To the element that ran: Future::output(), Results::output(), Outcome::output().
  capture,
  /// To those of the program, line by line: lines of several workers never mix. The program writes
  /// them. A line of more than 64 KiB may come in pieces. While the program's own output takes
  /// nothing, workers that print wait.
  lines,
  /// The same, and each line begins with its worker: "[pool/3] ".
  relay
};

/// The standard output and standard error of workers.
struct OutputOptions {
  /// Where they go.
  Output mode = Output::inherit;
  /// The most that is kept of an element's captured output, in bytes: its end.
  Count limit = 64 * 1024;

  bool operator==(OutputOptions const&) const = default;
};

/// The properties of a pool, in groups. Designated initializers are written in the order of the
/// members: {.workers = 4, .lifetime = {.max_tasks = 100}, .output = {.mode = Output::capture}}. A
/// pool checks its options when it is made, and throws std::invalid_argument for values that make
/// no sense.
struct PoolOptions {
  /// Worker processes, 1 to 4096. Not given: the value of the environment variable
  /// PROCPOOL_WORKERS, else cpu_count().
  std::optional<Count> workers{};
  /// Shown in `ps`, in error texts and in the log: at most 255 bytes, no control characters.
  std::string name = "pool";
  /// How workers start, and what they begin and end with.
  StartOptions start{};
  /// How long workers stay.
  LifetimeOptions lifetime{};
  /// The most that each worker may use.
  Limits limits{};
  /// How the pool ends, and how workers and tasks are ended.
  ShutdownOptions shutdown{};
  /// Where workers run.
  PlacementOptions placement{};
  /// The standard output and standard error of workers.
  OutputOptions output{};
  /// The options that every call begins with.
  CallOptions defaults{};
  /// How many elements may be accepted and not begun. A call that would exceed this does what
  /// CallOptions::when_full says. Elements of streams are not held up: they have a window. Not
  /// given: no limit.
  std::optional<Count> queue_limit{};
  /// How deep pools may be used in tasks of pools, this pool counted. A pool that is deeper throws
  /// SetupError.
  Count nesting_limit = 4;
  /// The seed of all this_task::random() streams. Not given: drawn at random.
  std::optional<std::uint64_t> seed{};
  /// Workers get less of the program's rights: no new privileges (set-user-id programs do not
  /// work), and no other process may look into them. Of the environment they get PATH,
  /// LD_LIBRARY_PATH, HOME, USER, LANG, LC_*, TZ, TMPDIR and the entries of
  /// StartOptions::environment.
  bool harden = false;
  /// Takes the pool's rare messages. Not given: standard error. Called from threads of the pool.
  std::function<void(std::string_view)> log{};
  /// Told what happens in the pool: workers that start, die and are replaced, timeouts, retries, what
  /// tasks log. On the pool's callback thread, see event.hpp.
  EventCallback on_event{};
  /// Exceptions of the program's own that come back as themselves: .exceptions =
  /// exception_types<my::ParseError, my::Error>(), see exceptions.hpp. Other exceptions come back
  /// as the nearest class of the standard library that they derive from.
  ExceptionTypes exceptions{};
  /// A file that gets a trace of the pool: elements, messages, deaths and more on a row for each worker,
  /// in the Chrome trace event format. Viewers such as ui.perfetto.dev open it. `%p` in its name is
  /// the number of this process. Pools of one process may share a file. If another process writes
  /// to it, the number of this process is added to the name: trace.json is trace.4711.json then.
  /// The file is written anew, and is whole when the pool is destroyed. Not given: the value of the
  /// environment variable PROCPOOL_TRACE, else there is no trace. The constructor throws SetupError
  /// if the file cannot be written. With Start::in_process there is no trace.
  std::string trace{};
  /// Where the workers are: procpool::mpi() has them on the machines of an MPI job, see
  /// <procpool/mpi.hpp>. Not given: on this machine.
  PoolEngine engine{};

  /// Functions are compared as in CallOptions. Calls made by bound() are equal if they call the same
  /// function with equal arguments.
  PROCPOOL_API bool operator==(PoolOptions const& other) const;
};

/// Prints the options that differ from their defaults: {.workers = 4, .lifetime = {.max_tasks =
/// 100}}. Of a function or a call that there is one, and of variables the names.
PROCPOOL_API std::ostream& operator<<(std::ostream& out, PoolOptions const& options);
PROCPOOL_API std::ostream& operator<<(std::ostream& out, StartOptions const& options);
PROCPOOL_API std::ostream& operator<<(std::ostream& out, LifetimeOptions const& options);
PROCPOOL_API std::ostream& operator<<(std::ostream& out, Limits const& limits);
PROCPOOL_API std::ostream& operator<<(std::ostream& out, ShutdownOptions const& options);
PROCPOOL_API std::ostream& operator<<(std::ostream& out, PlacementOptions const& options);
PROCPOOL_API std::ostream& operator<<(std::ostream& out, OutputOptions const& options);
PROCPOOL_API std::ostream& operator<<(std::ostream& out, Start start);
PROCPOOL_API std::ostream& operator<<(std::ostream& out, End end);
PROCPOOL_API std::ostream& operator<<(std::ostream& out, Output output);

}  // namespace procpool::inline v0_1
