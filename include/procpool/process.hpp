// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Process: a function in a process of its own, as std::jthread is a function in a thread of its
// own.
//
//   procpool::Process reader{{.name = "reader"}, read_all, path};
//   auto writer = procpool::start_process<write_all>(path, queue);
//   reader.join();

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include <procpool/callable.hpp>
#include <procpool/detail/async/handle.hpp>
#include <procpool/detail/call/call.hpp>
#include <procpool/detail/codec/exception_types.hpp>
#include <procpool/detail/engine/deadline.hpp>
#include <procpool/detail/handle/process_handle.hpp>
#include <procpool/duration.hpp>
#include <procpool/future.hpp>
#include <procpool/options.hpp>

namespace procpool::inline v0_1 {

/// The properties of a Process. The order of the members is API: new ones go to the end.
struct ProcessOptions {
  /// Shown in `ps`, in error texts and in the log: at most 255 bytes, no control characters.
  std::string name = "process";
  /// Start::spawn or Start::forkserver. All processes with the latter are forked from one fork
  /// server, which has the program's environment at the time of its own start.
  Start start = Start::spawn;
  /// What the destructor does. End::drain and End::cancel ask the function to stop, and wait for
  /// the process. End::kill kills it.
  End at_exit = End::drain;
  /// How long the function may run. After that it is ended as a task with CallOptions::timeout.
  std::optional<Milliseconds> timeout{};
  /// The most that the process may use.
  Limits limits{};
  /// Added to the environment of the process, or replaces entries of the program's.
  std::map<std::string, std::string> environment{};
  /// Where its standard output and standard error go.
  Output output = Output::inherit;
  /// As PoolOptions::harden. With Start::spawn only.
  bool harden = false;
  /// As PoolOptions::exceptions.
  ExceptionTypes exceptions{};

  bool operator==(ProcessOptions const&) const = default;
};

/// Prints the options that differ from their defaults, as for PoolOptions.
PROCPOOL_API std::ostream& operator<<(std::ostream& out, ProcessOptions const& options);

template <class R>
class Process;

namespace detail {

template <class T>
inline constexpr bool is_process = false;
template <class R>
inline constexpr bool is_process<Process<R>> = true;

// What may be the callable of a Process: not its options, and not another Process.
template <class C>
concept ProcessCallable =
    !std::is_same_v<std::remove_cvref_t<C>, ProcessOptions> && !is_process<std::remove_cvref_t<C>>;

// Asks for the result of what can be called only, since the question itself may be an error.
template <class C, class... Args>
struct ProcessResult {};
template <ProcessCallable C, class... Args>
struct ProcessResult<C, Args...> {
  using type = result_t<C, Args...>;
};

}  // namespace detail

/// A function that runs in a process of its own, and the process. Functions, arguments and results
/// are those of ProcessPool::submit. R is the result of the function; the class template argument
/// is deduced: `Process p{function, arguments...}`.
///
/// All members may be called from any thread, at the same time, except moving, assigning,
/// destroying, and get(). All throw std::logic_error if the object was moved from, and SetupError
/// in a forked child of the process that made it. A Process may be made inside of tasks. It counts
/// as a pool there, see PoolOptions::nesting_limit.
template <class R>
class [[nodiscard]] Process {
 public:
  /// Starts the process, which calls callable(arguments...). The process exits with status 0 when
  /// the function has returned, and with status 1 when it has thrown. Blocks until the process
  /// exists. Throws what the encoding of an argument throws, and SetupError if there can be no
  /// process.
  template <detail::ProcessCallable C, class... Args>
  explicit Process(C callable, Args&&... arguments)
      : Process(ProcessOptions(), std::move(callable), std::forward<Args>(arguments)...) {}
  /// With options. Throws std::invalid_argument for options that make no sense.
  template <class C, class... Args>
  Process(ProcessOptions const& options, C callable, Args&&... arguments) : handle_(options) {
    if constexpr (detail::Call<C, Args&&...>::check()) {
      auto task = handle_.caller().start_one(callable, std::forward<Args>(arguments)...);
      handle_.start();
      result_ = Future<R>(std::move(task));
    }
  }

  /// The process that was moved from can only be assigned to and destroyed.
  Process(Process&&) noexcept = default;
  /// Ends the process that is replaced first, as the destructor does.
  Process& operator=(Process&& other) noexcept {
    if (this == &other) return *this;
    end();
    handle_ = std::move(other.handle_);
    result_ = std::move(other.result_);
    return *this;
  }

  /// request_stop() and join(), or kill() and join() with End::kill. After 10 s the log says what
  /// is waited for. Kills if an exception unwinds that was not there when the object was made. An
  /// error of the function that nobody has seen is logged, unless the owner has signalled the
  /// process.
  ~Process() { end(); }

  /// The number of the process. Does not block. It may be given to another process once this one
  /// has ended.
  pid_t pid() const { return handle_.pid(); }
  /// The process has not ended, as far as is known. Does not block.
  bool alive() const { return handle_.alive(); }

  /// Blocks until the process is gone. Throws no error of the function.
  void join() const { handle_.join_until(std::nullopt); }
  /// The same, but no longer than this. Returns whether the process is gone.
  template <class Rep, class Period>
  bool join_for(std::chrono::duration<Rep, Period> time) const {
    return handle_.join_until(detail::deadline_after(time));
  }

  /// Blocks until the function has ended. Returns its value, or throws its exception, or the reason
  /// why there is none: WorkerDied, TaskTimeout, SetupError (see errors.hpp). Once. The process may
  /// still be about to exit.
  R get() { return result_.get(); }

  /// The exit status of a process that has ended by itself. Nothing: it has not ended, a signal has
  /// ended it, or its status was taken by somebody else. Does not block.
  std::optional<int> exit_status() const { return handle_.exit_status(); }
  /// The signal that has ended the process. Nothing: none has. Does not block.
  std::optional<int> exit_signal() const { return handle_.exit_signal(); }

  /// Asks the function to stop: this_task::stop_requested() and stop_token() tell it. Does not
  /// block.
  void request_stop() { handle_.request_stop(); }
  /// Sends SIGTERM. This, kill() and signal() do nothing if the process has ended, and never reach
  /// another process.
  void terminate() { handle_.signal(SIGTERM); }
  /// Sends SIGKILL to the process and to its process group.
  void kill() { handle_.kill(); }
  /// Sends this signal. A process that was stopped is continued, as any worker. Throws
  /// std::system_error for a number that is no signal's.
  void signal(int number) { handle_.signal(number); }

  /// The standard output and error of the function, with Output::capture. Blocks until the function
  /// has ended; to be called before get().
  std::string output() const { return result_.output(); }

 private:
  void end() noexcept {
    if (handle_.end()) detail::HandleAccess::forget(result_);
  }

  Future<R> result_;
  detail::ProcessHandle handle_;
};

template <class C, class... Args>
Process(C, Args&&...) -> Process<typename detail::ProcessResult<C, Args&&...>::type>;
template <class C, class... Args>
Process(ProcessOptions, C, Args&&...) -> Process<detail::result_t<C, Args&&...>>;

/// Starts a process that calls F(arguments...), as the constructors of Process do. Options may stand
/// ahead of the arguments.
template <auto F>
auto start_process() {
  return Process(fn<F>);
}
template <auto F, class First, class... Args>
  requires(!std::is_same_v<std::remove_cvref_t<First>, ProcessOptions>)
auto start_process(First&& first, Args&&... arguments) {
  return Process(fn<F>, std::forward<First>(first), std::forward<Args>(arguments)...);
}
template <auto F, class... Args>
auto start_process(ProcessOptions const& options, Args&&... arguments) {
  return Process(options, fn<F>, std::forward<Args>(arguments)...);
}

}  // namespace procpool::inline v0_1
