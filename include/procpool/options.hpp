#pragma once

// PoolOptions: what a pool is made with. The order of the members is API: new ones go to the end. Times may be
// given in any unit; what is too long to be counted is for ever.

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

// Where tasks run.
enum class Start {
  spawn,       // in worker processes, each a fresh execution of this program
  in_process,  // in the calling thread, inside submit and map: for debuggers; nothing is isolated
  // In worker processes that are forked from one template process: a fresh execution of this program that
  // has run static initialisation and nothing else. For many workers, for short-lived ones
  // (max_tasks_per_worker), and where static initialisation takes long: a worker starts in the time of a
  // fork, and idle workers share their pages. What differs from `spawn`: static initialisation runs once and
  // not once per worker, so all workers have what it drew at random, the same address layout, and the same
  // open files where it opened some; timers that it set are the template's alone. A program whose static
  // initialisation starts a thread cannot be forked safely: its workers are spawned, and the log says
  // so. The template does not count as a worker; should it die, workers go on and there is a new one.
  // Errors are those of `spawn`; how a worker ended may be unknown if its template died before it.
  forkserver
};

// How a pool ends.
enum class End {
  drain,   // everything accepted is run
  cancel,  // what runs is finished, what has not begun ends with TaskCancelled
  kill     // workers are killed, everything that has not ended ends with TaskCancelled
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
  std::optional<Seconds> cpu_time{};
  // Descriptors below which a task may open files (RLIMIT_NOFILE). The pool's own lie above.
  std::optional<std::uint64_t> open_files{};
  // Bytes of a core file (RLIMIT_CORE). Not given: none is written.
  std::optional<std::uint64_t> core_size{};
};

// Where what workers write to standard output and standard error goes.
enum class Output {
  inherit,  // where the program's own goes
  drop,     // nowhere
  capture   // to the element that ran: Future::output(), Results::output(), Outcome::output()
};

struct PoolOptions {
  // Worker processes, 1 to 4096; not given: what the environment variable PROCPOOL_WORKERS says, else
  // cpu_count().
  std::optional<Count> workers{};
  // Seen in `ps`, in error texts and in the log: at most 255 bytes, no control characters.
  std::string name = "pool";
  Start start = Start::spawn;
  // What the destructor does. With End::drain it waits for accepted work, and logs after 10 s what it
  // waits for; at at_exit_deadline (none: never) what is left is killed. While an exception unwinds
  // that was not there at construction it kills.
  End at_exit = End::drain;
  std::optional<Milliseconds> at_exit_deadline{};
  // What every call begins with.
  CallOptions defaults{};
  // How long a worker may take from its creation to its first word.
  Milliseconds start_timeout{std::chrono::milliseconds(60'000)};
  // How long a worker that was asked to leave may take (static destructors, coverage files) until it
  // gets SIGTERM, and then again until it gets SIGKILL.
  Milliseconds stop_grace{std::chrono::milliseconds(5'000)};
  // Where the pool's rare messages go; not given: standard error. Called from threads of the pool.
  std::function<void(std::string_view)> log{};
  // How long a task that is ended, by a deadline or by cancel(), has from SIGTERM to SIGKILL.
  Milliseconds term_grace{std::chrono::milliseconds(25)};
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
  // Called in each worker that leaves in good order (at the pool's end, recycled, idle, by resize), after
  // its last element. It has stop_grace for it. What it throws is logged.
  std::optional<BoundCall> exit_handler{};
  // How many elements may be accepted and not begun; a call that would make them more does what
  // CallOptions::when_full says. Those of streams are not held up: they have a window. Not given: no limit.
  std::optional<Count> queue_limit{};
  // A worker whose resident memory, in bytes, is above this after an element is replaced before it begins
  // another.
  std::optional<std::uint64_t> recycle_above{};
  // A worker is replaced after this time, or up to a fifth earlier, so that not all are at once. It ends
  // what it runs.
  std::optional<Milliseconds> recycle_after{};
  // A worker that had nothing to do for so long leaves; when there is more to do than the others manage, a
  // new one comes. Not given: workers stay.
  std::optional<Milliseconds> idle_timeout{};
  // The CPUs that workers are pinned to: worker i to the (i modulo their number)-th. Not given: wherever
  // the program may run.
  std::vector<int> cpus{};
  // Added to the program's nice value, 0 to 39.
  int nice = 0;
  // How deep pools may be used in tasks of pools, this pool counted; one that is deeper throws SetupError.
  Count nesting_limit = 4;
  // What this_task::random() streams derive from. Not given: drawn at random.
  std::optional<std::uint64_t> seed{};
  // How long a task that listens to this_task::stop_requested() or stop_token() has, once it was asked to
  // stop, until it is ended by force.
  Milliseconds ask_grace{std::chrono::milliseconds(500)};
  Output output = Output::inherit;
  // The most that is kept of an element's captured output, in bytes: its end.
  Count output_limit = 64 * 1024;
  // Workers get less of what the program has: no new privileges (set-user-id programs do not work), no
  // other process may look into them, and of the environment only PATH, LD_LIBRARY_PATH, HOME, USER,
  // LANG, LC_*, TZ, TMPDIR and what `environment` adds.
  bool harden = false;
  // A folder of cgroup version 2 in which the program may make groups: each worker then lives in one of its
  // own, and with it ends everything that it started, also what has left its process group. Not given: what
  // left it (setsid) lives on.
  std::string cgroup{};
  // Workers ignore SIGTERM that somebody sends them. For services: a manager that stops one sends it to all
  // its processes, and the program's own handler may then close() and join() the pool, so that what runs is
  // finished. A task's own children are not protected, and a task that overruns is ended all the same.
  bool ignore_sigterm = false;
  // Exceptions of the program's own that come back as themselves: .exceptions =
  // exception_types<my::ParseError, my::Error>(), see exceptions.hpp. Others come back as the nearest class of
  // the standard library that they derive from.
  ExceptionTypes exceptions{};
};

}  // namespace procpool::inline v0
