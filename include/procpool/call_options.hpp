// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// CallOptions: the properties of one call. Given ahead of the operation, or for all calls of a pool
// as PoolOptions::defaults. Plain values; any thread. The order of the members is API: new ones go
// to the end.

#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iosfwd>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <type_traits>
#include <typeinfo>

#include <procpool/count.hpp>
#include <procpool/detail/async/callbacks.hpp>
#include <procpool/duration.hpp>
#include <procpool/failure.hpp>
#include <procpool/progress.hpp>

namespace procpool::inline v0_1 {

/// The reaction of a call over a range to failures of its elements.
enum class OnError {
  /// Throws the first failure by index, as a loop would. No element behind that one begins any
  /// more.
  stop,
  /// Runs all elements, then throws the first failure by index.
  finish,
  /// Runs all elements, then throws ElementErrors with every failure.
  collect
};

namespace detail {

// A listed type is told by a pointer to it, since an object would run its own code.
template <class E>
bool is_thrown(std::exception_ptr const& error) {
  return caught(error, typeid(E)) || caught(error, typeid(E const*));
}

using ThrownTest = bool (*)(std::exception_ptr const&);
template <class... Es>
inline constexpr std::array<ThrownTest, sizeof...(Es)> thrown_tests{&is_thrown<Es>...};

}  // namespace detail

/// Types of exceptions, made by thrown<Es...>().
class ThrownTypes {
 public:
  /// None.
  constexpr ThrownTypes() noexcept = default;

  /// No type is listed.
  constexpr bool empty() const noexcept { return tests_.empty(); }
  /// The exception is of a listed type, or of a type derived from one.
  PROCPOOL_API bool contains(std::exception_ptr const& error) const;
  /// The same types in the same order.
  PROCPOOL_API bool operator==(ThrownTypes const& other) const noexcept;

 private:
  template <class... Es>
  friend constexpr ThrownTypes thrown() noexcept;
  constexpr explicit ThrownTypes(std::span<detail::ThrownTest const> tests) noexcept
      : tests_(tests) {}

  std::span<detail::ThrownTest const> tests_;
};

/// Exceptions of these types, or of types derived from them, that a function throws:
/// .retries = {.times = 3, .also_on = thrown<std::system_error, my::Error>()}.
template <class... Es>
constexpr ThrownTypes thrown() noexcept {
  constexpr bool are_names = (std::is_same_v<Es, std::decay_t<Es>> && ...);
  static_assert(are_names, "procpool: a type is listed by its name, without const and references");
  if constexpr (are_names) return ThrownTypes(detail::thrown_tests<Es...>);
  return {};
}

/// How often a failed element is run again, and in which cases: .retries = {.times = 3}. An element
/// that was cancelled is never run again.
struct Retries {
  /// The number of further attempts: 0 to 1,000,000. 0 is never, also if PoolOptions::defaults says
  /// otherwise.
  std::optional<Count> times{};
  /// The wait before the first further attempt. It doubles with each attempt after it.
  Milliseconds backoff{};
  /// After WorkerDied and BadMessage.
  bool on_crash = true;
  /// After TaskTimeout of an element that ran.
  bool on_timeout = true;
  /// After these exceptions of the function.
  ThrownTypes also_on{};

  bool operator==(Retries const&) const = default;
};

/// The reaction of a call to a full queue, see PoolOptions::queue_limit.
enum class WhenFull {
  /// Blocks until there is room.
  block,
  /// Throws QueueFull. Nothing was submitted.
  refuse
};

/// Equal keys name the same worker, see CallOptions::key. A number or a text.
class Key {
 public:
  /// A number.
  template <std::integral I>
  constexpr Key(I number) noexcept  // NOLINT(google-explicit-constructor): a number is a Key
      : value_(static_cast<std::uint64_t>(number)) {}
  /// A text, by its hash.
  PROCPOOL_API Key(std::string_view text) noexcept;  // NOLINT(google-explicit-constructor)
  Key(char const* text) noexcept : Key(std::string_view(text)) {}         // NOLINT
  Key(std::string const& text) noexcept : Key(std::string_view(text)) {}  // NOLINT

  /// The number, or the hash of the text.
  constexpr std::uint64_t value() const noexcept { return value_; }
  friend constexpr bool operator==(Key const&, Key const&) noexcept = default;
  /// Prints value().
  friend PROCPOOL_API std::ostream& operator<<(std::ostream& out, Key const& key);

 private:
  std::uint64_t value_;
};

/// Options of one call: pool.with({.chunk = 64}).map<f>(xs). An option that is not given comes from
/// PoolOptions::defaults. An operation refuses an option that it does not use, by
/// std::invalid_argument.
struct CallOptions {
  /// map, starmap, imap and their variants: how many consecutive elements are sent
  /// together, 1 to 1,048,576. Not given: chosen by the measured cost of an element. Several chunks
  /// that end within 50 us may go together. A chunk is never a unit of failure, cancelling or
  /// attribution.
  std::optional<Count> chunk{};
  /// imap, imap_unordered: after k results at most k + window inputs were read. Not given: begins
  /// with 4 x workers and grows while a window is taken in less than 50 ms, up to 4096 x workers
  /// and 64 MiB.
  std::optional<Count> window{};
  /// How many slices there are: parallelize (not given: one per worker) and parallelize_reduce
  /// (four per worker). Fewer if there are fewer elements.
  std::optional<Count> slices{};
  /// map, starmap, parallelize and their variants. Not given: stop.
  std::optional<OnError> on_error{};
  /// Calls over ranges: told how far the call has come, see progress.hpp. The operations that block
  /// return after it was told of the end, unless there is an executor.
  ProgressCallback progress{};
  /// Where continuations, callbacks and progress run. Not given: on the pool's callback thread.
  Executor executor{};
  /// How long an element may run, from its begin. An element that takes longer is ended with its
  /// worker: SIGTERM, then SIGKILL after ShutdownOptions::term_grace. It ends with TaskTimeout. No
  /// other element is touched.
  std::optional<Milliseconds> timeout{};
  /// How long an element may wait, from its submit to its begin. After that it never runs, and ends
  /// with TaskTimeout.
  std::optional<Milliseconds> queue_timeout{};
  /// The point in time, of the steady or of the system clock, at which the call is over: waiting,
  /// running and all attempts together. An element that has not ended by then ends with TaskTimeout,
  /// one that runs as with `timeout`. If both are given the earlier one counts. No attempt is made
  /// whose backoff would pass it.
  std::optional<Deadline> deadline{};
  /// How often an element that failed is run again. Not given: never, because it may have done half
  /// of its work. The final error also tells how the earlier attempts ended.
  Retries retries{};
  /// Among waiting elements, higher priorities go first, and equal ones in the order of their
  /// submits. Not given: 0. Elements that a worker has been given and not begun give way too,
  /// unless they end soon.
  std::optional<int> priority{};
  /// All calls with equal keys run in one worker as long as it lives, and after that in another
  /// one, again all of them. They wait for this worker even while others are idle.
  std::optional<Key> key{};
  /// What happens at PoolOptions::queue_limit. Not given: block.
  std::optional<WhenFull> when_full{};
  /// The name of the call's random streams: this_task::random() derives from it instead of from the
  /// number of calls that the pool has taken. For threads that submit in no fixed order. Calls of
  /// the same name draw the same numbers, so it is refused in PoolOptions::defaults.
  std::optional<std::uint64_t> stream{};
  /// A request of this token stops the calls, as Future::request_stop does: without blocking the
  /// thread that makes it. If it was made before, nothing runs. Streams read no further inputs.
  std::optional<std::stop_token> stop{};
  /// A name of the call for people: in `ps` and `top` while a worker runs it, in the texts of its
  /// errors, in the log and in events. 1 to 255 bytes, no control characters. A label that is new to
  /// a worker costs one more message, as a new function does.
  std::optional<std::string> label{};

  /// Functions are equal if both are not given, if both are the same pointer to a function, or if
  /// both are objects of the same type: their captures are not compared.
  PROCPOOL_API bool operator==(CallOptions const& other) const;
};

/// Prints the options that are given: {.chunk = 64, .on_error = OnError::finish}. Of a function
/// that there is one.
PROCPOOL_API std::ostream& operator<<(std::ostream& out, CallOptions const& options);
PROCPOOL_API std::ostream& operator<<(std::ostream& out, Retries const& retries);
PROCPOOL_API std::ostream& operator<<(std::ostream& out, OnError on_error);
PROCPOOL_API std::ostream& operator<<(std::ostream& out, WhenFull when_full);

/// The result of cancel().
enum class Cancel {
  /// All elements had ended already.
  too_late,
  /// No element that had not ended had begun, and none ever will.
  never_began,
  /// An element was running. It was ended with its worker. A task that listens to
  /// this_task::stop_requested() ended itself. Code of the program goes on, but gives no value any
  /// more, see Future::cancel.
  ended
};

}  // namespace procpool::inline v0_1
