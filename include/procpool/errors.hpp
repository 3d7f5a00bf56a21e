// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The errors that a task can end with instead of a value. Every outcome has one reason, set once:
// the error that the task threw, as itself if its type is known here, or one of the reasons below.
// Plain values; any thread may catch, copy and rethrow them.
//
//   Error                    the base of all that procpool itself reports
//   +- RemoteError           the task threw something that cannot be rebuilt here
//   +- WorkerDied            its process ended while it ran
//   +- ActorDied             its actor has no process any more (procpool/actor.hpp)
//   +- TaskTimeout           it took longer than it was allowed to
//   +- TaskCancelled         it was cancelled, or its pool ended, before it ended itself
//   +- PoolClosed            the pool takes no more tasks
//   +- QueueFull             the pool takes no more tasks now (CallOptions::when_full)
//   +- QueueClosed           a Queue takes no more items (procpool/queue.hpp)
//   +- PipeClosed            nobody has the other end of a pipe any more (procpool/pipe.hpp)
//   +- QueueBroken           a process has destroyed the memory of a Queue
//   +- HolderDied            a process died while it held the lock of shared memory
//   +- StillShared           memory cannot be frozen: somebody has it for writing
//   +- SetupError            the pool lacks something: the entry hook, processes, memory, ...
//   +- BadMessage            the message of a worker makes no sense
//   +- HostLost              a machine of a cluster is gone, with what it had been given
//   +- SerializationError    a value could not be turned into bytes, or back (procpool/error.hpp)
//   +- ElementErrors         several elements of a call with OnError::collect failed
//   FromWorker<E>            a standard exception E that the task threw, or the nearest standard class
//                            of its exception, or a listed type (exceptions.hpp): caught as E, and
//                            as Origin

#include <sys/types.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <procpool/detail/call/function.hpp>
#include <procpool/detail/export.hpp>
#include <procpool/error.hpp>
#include <procpool/failure.hpp>

namespace procpool::inline v0_1 {

/// The place at which an exception was thrown. No exception itself, so that it can stand beside any
/// base.
struct PROCPOOL_API Origin {
  int worker = -1;                  ///< index in its pool; -1: this process
  pid_t pid = 0;                    ///< of that worker
  std::string host{};               ///< its machine, if the pool has workers on several
  std::uint64_t task = 0;           ///< id of the call
  std::uint64_t element = 0;        ///< index of the input; 0 for submit
  std::string label{};              ///< CallOptions::label of the call
  std::string type;                 ///< of the exception, as it was in the worker
  std::vector<std::string> causes;  ///< of nested exceptions, outermost first: "type: text"
};

/// The task threw something that is no exception of the standard library, is derived from none, and
/// is not listed (PoolOptions::exceptions). what() is its text, `type` its type's name.
class PROCPOOL_API RemoteError : public Error, public Origin {
 public:
  /// For the pool.
  RemoteError(std::string const& text, Origin origin);
  ~RemoteError() override;
};

/// An exception that a task threw. `catch (std::out_of_range const&)` works as if it had been
/// thrown here, also for a derived type. `catch (procpool::Origin const&)` tells its place and its
/// type in the worker. what() is the text in the worker, cut to 64 KiB.
template <class E>
class FromWorker : public E, public Origin {
 public:
  /// For the pool.
  FromWorker(E error, std::string text, Origin origin)
      : E(std::move(error)), Origin(std::move(origin)), text_(std::move(text)) {}

  /// The text in the worker.
  char const* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

namespace detail {
class CrashReport;
}

/// One call on the stack of a task that crashed.
struct StackFrame {
  std::string function;      ///< empty: not known
  std::string module;        ///< the file that its code is in; empty: not in any
  std::uint64_t offset = 0;  ///< in the module; without a module, the address

  /// The call in one line: "parse(char const*) (/usr/lib/libparse.so+0x1234)".
  PROCPOOL_API std::string text() const;
};

/// The end of a worker that had begun an element. WorkerDied is made of it.
struct WorkerDeath {
  std::string pool;                ///< name of the pool
  int worker = -1;                 ///< index in its pool
  pid_t pid = 0;                   ///< of the worker
  std::uint64_t task = 0;          ///< id of the call
  std::uint64_t element = 0;       ///< index of the input; 0 for submit
  std::optional<int> signal;       ///< that killed it
  std::optional<int> exit_status;  ///< neither: another part of the program took the status
  detail::Stage stage = detail::Stage::running;        ///< of the element
  std::string detail;                                  ///< a further clause, or empty
  std::vector<std::string> earlier{};                  ///< texts of the last failed attempts
  std::shared_ptr<detail::CrashReport const> crash{};  ///< of the worker itself; null: none
  std::uint64_t peak_memory = 0;                       ///< bytes; 0: not known
  std::string output{};                                ///< the end of the captured output
  bool abandoned = false;             ///< it has not ended, because SIGKILL does not end it
  std::uint64_t attempts_failed = 0;  ///< before this one
  std::string label{};                ///< CallOptions::label of the call
  std::string host{};                 ///< the machine, if the pool has workers on several
};

/// For the pool: "; attempt 3, after: ...", a part of the text of an error.
PROCPOOL_API std::string attempts_text(std::vector<std::string> const& earlier,
                                       std::uint64_t failed);

/// The process that ran the task ended: by a crash, by a signal, by exit. Only the element that it
/// had begun gets this error. Finished elements keep their results, and the others run elsewhere.
class PROCPOOL_API WorkerDied : public Error {
 public:
  /// For the pool.
  explicit WorkerDied(WorkerDeath death);
  ~WorkerDied() override;

  /// One line: the worker, its end, and the element. After a crash also the functions that were
  /// running. The first call after a crash reads files.
  char const* what() const noexcept override;

  /// The signal that killed it; none if it left by itself or if its status is not known.
  std::optional<int> signal() const noexcept { return death_.signal; }
  /// The status that it left with; none if it was killed or if its status is not known.
  std::optional<int> exit_status() const noexcept { return death_.exit_status; }
  /// The process that ended.
  pid_t pid() const noexcept { return death_.pid; }
  /// The index of the worker in its pool.
  int worker() const noexcept { return death_.worker; }
  /// The machine of the worker, if the pool has workers on several machines. Else empty.
  std::string const& host() const noexcept { return death_.host; }
  /// The id of the call.
  std::uint64_t task() const noexcept { return death_.task; }
  /// The index of the input; 0 for submit.
  std::uint64_t element() const noexcept { return death_.element; }
  /// CallOptions::label of the call; empty: it has none.
  std::string const& label() const noexcept { return death_.label; }
  /// The number of attempts at the element. All of them have failed.
  std::uint64_t attempts() const noexcept { return death_.attempts_failed + 1; }
  /// The texts of the last attempts before this one: at most four, each of at most 512 bytes.
  std::vector<std::string> const& earlier_attempts() const noexcept { return death_.earlier; }
  /// "loading" its arguments, "running" the function, or "saving" its result.
  std::string_view stage() const noexcept;

  /// After a crash: the calls of the thread that crashed, innermost first, at most 64. Empty if the
  /// worker could not tell, because it was killed from outside or had its own handler for the
  /// signal. The first call of this, or of what(), looks up the names, which reads files.
  std::vector<StackFrame> const& stack() const;
  /// The address that could not be accessed (SIGSEGV, SIGBUS), or that of the instruction (other
  /// crashes).
  std::optional<std::uintptr_t> fault_address() const noexcept;
  /// The peak resident memory of the worker in bytes, if that is known.
  std::optional<std::uint64_t> peak_memory() const noexcept;
  /// The last lines that the element wrote, if output is captured.
  std::string const& output() const noexcept { return death_.output; }
  /// All of it as plain data.
  WorkerDeath const& death() const noexcept { return death_; }

 private:
  struct Text;  // the text of what(), made by its first call

  WorkerDeath death_;
  std::shared_ptr<Text> text_;  // null: the text of the base is complete
};

namespace detail {

// An error that knows which element has it.
class PROCPOOL_API ElementFailure : public Error {
 public:
  explicit ElementFailure(std::string const& text, std::uint64_t task = 0,
                          std::uint64_t element = 0)
      : Error(text), task_(task), element_(element) {}
  ~ElementFailure() override;

  /// The id of the call; 0: it is the error of no call.
  std::uint64_t task() const noexcept { return task_; }
  /// The index of the input; 0 for submit.
  std::uint64_t element() const noexcept { return element_; }

  // For the pool.
  void tell(std::uint64_t task, std::uint64_t element) noexcept {
    task_ = task;
    element_ = element;
  }

 private:
  std::uint64_t task_;
  std::uint64_t element_;
};

}  // namespace detail

/// A host of a cluster is lost: nothing was heard of it, its process ended, or the connection broke. It had
/// been given the element, and nobody knows what became of that. The pool goes on with its other hosts.
class PROCPOOL_API HostLost : public detail::ElementFailure {
 public:
  /// The effects that an element may have had.
  enum class Begun {
    no,    ///< it has not begun, and no host is left that could run it
    maybe  ///< the host was free to begin it
  };

  /// For the pool.
  HostLost(std::string const& text, std::string host, std::string reason, Begun begun,
           std::uint64_t task = 0, std::uint64_t element = 0);
  ~HostLost() override;

  /// The machine.
  std::string const& host() const noexcept { return host_; }
  /// Why it counts as lost: "nothing was heard of it for 5000 ms".
  std::string const& reason() const noexcept { return reason_; }
  /// Whether the element may have had effects.
  Begun begun() const noexcept { return begun_; }

 private:
  std::string host_;
  std::string reason_;
  Begun begun_;
};

/// The task took longer than it was allowed to.
class PROCPOOL_API TaskTimeout : public detail::ElementFailure {
 public:
  using ElementFailure::ElementFailure;
  ~TaskTimeout() override;
};

/// The task was cancelled, or its pool ended, before it had ended itself.
class PROCPOOL_API TaskCancelled : public detail::ElementFailure {
 public:
  using ElementFailure::ElementFailure;
  ~TaskCancelled() override;
};

/// The pool takes no more tasks.
class PROCPOOL_API PoolClosed : public Error {
 public:
  using Error::Error;
  ~PoolClosed() override;
};

/// The process of the actor has died, and no other one follows. The call has not begun. The text
/// tells the end of the process; all calls to come get the same.
class PROCPOOL_API ActorDied : public Error {
 public:
  using Error::Error;
  ~ActorDied() override;
};

/// The pool has reached PoolOptions::queue_limit. Nothing was submitted.
class PROCPOOL_API QueueFull : public Error {
 public:
  using Error::Error;
  ~QueueFull() override;
};

/// The Queue was closed: it takes no more items. The item was not taken.
class PROCPOOL_API QueueClosed : public Error {
 public:
  using Error::Error;
  ~QueueClosed() override;
};

/// Nobody has the other end of the pipe any more, or one of its owners has left it in a state from
/// which it cannot go on. The value was not sent.
class PROCPOOL_API PipeClosed : public Error {
 public:
  using Error::Error;
  ~PipeClosed() override;
};

/// The memory of a Queue holds what no process writes that works as it should. The queue can be used
/// no more, in any process, and its items are lost.
class PROCPOOL_API QueueBroken : public Error {
 public:
  using Error::Error;
  ~QueueBroken() override;
};

/// A process has died while it held the lock of a SharedArray or SharedValue: the data may be half
/// written. A call of with_lock(f, repair) puts that right.
class PROCPOOL_API HolderDied : public Error {
 public:
  using Error::Error;
  ~HolderDied() override;
};

/// A SharedArray cannot be frozen: a handle, in this process or in another, still has it for writing.
/// Nothing has changed.
class PROCPOOL_API StillShared : public Error {
 public:
  using Error::Error;
  ~StillShared() override;
};

/// The pool lacks something that it needs. The text names it, and a remedy.
class PROCPOOL_API SetupError : public Error {
 public:
  using Error::Error;
  ~SetupError() override;
};

/// The message of a worker makes no sense. The worker was ended.
class PROCPOOL_API BadMessage : public detail::ElementFailure {
 public:
  using ElementFailure::ElementFailure;
  ~BadMessage() override;
};

/// The failure of one element of a call over a range.
struct ElementError {
  std::uint64_t element = 0;  ///< its index
  Failure error;              ///< its reason
};

/// The failures of a call with OnError::collect: thrown if any element failed.
class PROCPOOL_API ElementErrors : public Error {
 public:
  /// For the pool. `failures` is not empty.
  explicit ElementErrors(std::vector<ElementError> failures);
  ~ElementErrors() override;

  /// In the order of the elements.
  std::vector<ElementError> const& failures() const noexcept { return failures_; }

 private:
  std::vector<ElementError> failures_;
};

/// A text for logs: "type: text" of an exception, and its place if that is known. A WorkerDied has
/// several lines: the stack, the memory, the last output. Control characters and bytes that are no
/// UTF-8 become '?', and an end of line within a text becomes a blank. "nothing" for a null
/// pointer. Any thread. For a crash it may read files. Never throws because of the exception that
/// it describes.
PROCPOOL_API std::string describe(std::exception_ptr const& error);

}  // namespace procpool::inline v0_1
