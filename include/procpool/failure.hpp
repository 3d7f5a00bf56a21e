// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Failure: why an element has no value. A plain value: any thread may copy and read one.

#include <exception>
#include <optional>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include <procpool/detail/export.hpp>

namespace procpool::inline v0_1 {

/// What kind of thing went wrong.
enum class FailureKind {
  /// The function threw. Failure::as tells what.
  threw,
  /// Its process ended while it ran: WorkerDied.
  died,
  /// It took longer than it was allowed to: TaskTimeout.
  timed_out,
  /// It was cancelled, or its pool ended first: TaskCancelled.
  cancelled,
  /// A value could not be sent, an argument or a result: SerializationError, or SetupError if the
  /// pool lacked something.
  not_sent,
  /// The message of a worker made no sense: BadMessage.
  bad_message,
  /// The pool took no more tasks: PoolClosed, QueueFull.
  refused,
  /// A machine of a cluster is gone, and the element with it: HostLost.
  host_lost
};

/// The name of the kind: "threw", "died", "timed_out", ...
PROCPOOL_API char const* to_string(FailureKind kind) noexcept;

namespace detail {

// The object that a handler for this type finds in the exception: of the type, or of a base. Of a
// pointer the pointer itself. Nothing: the handler would not catch it.
PROCPOOL_API std::optional<void const*> caught(std::exception_ptr const& error,
                                               std::type_info const& wanted) noexcept;

}  // namespace detail

/// The reason why an element has no value. Copies refer to the same exception. Reading one costs no
/// throw, unless rethrow() is called.
class PROCPOOL_API Failure {
 public:
  /// Of an exception, which is not null.
  explicit Failure(std::exception_ptr error) noexcept : error_(std::move(error)) {}
  // A failure that was moved from is still one.
  Failure(Failure const&) noexcept = default;
  Failure& operator=(Failure const&) noexcept = default;
  ~Failure() = default;

  /// The kind of the failure.
  FailureKind kind() const noexcept;

  /// The exception, if an E would catch it: of this class or of a derived one. Null: it is none. The
  /// object lives as long as a copy of this failure.
  template <class E>
  E const* as() const noexcept {
    static_assert(std::is_class_v<E> && std::is_same_v<E, std::remove_cv_t<E>>,
                  "procpool: as<E>() asks for a class of exceptions, without const and references");
    return static_cast<E const*>(detail::caught(error_, typeid(E)).value_or(nullptr));
  }

  /// The text of the exception. Lives as long as a copy of this failure.
  char const* what() const noexcept;

  /// A text for logs, see procpool::describe: type, text, and the place in the worker. Of a crash
  /// several lines; it may read files then.
  std::string describe() const;

  /// Throws the exception.
  [[noreturn]] void rethrow() const { std::rethrow_exception(error_); }

  /// The exception itself. Never null.
  std::exception_ptr const& exception() const noexcept { return error_; }

 private:
  std::exception_ptr error_;
};

}  // namespace procpool::inline v0_1
