#pragma once

// CallOptions: the properties of one call. Given ahead of the operation, or for all calls of a pool
// as PoolOptions::defaults. Plain values; any thread. The order of the members is API: new ones go
// to the end.

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <procpool/count.hpp>
#include <procpool/detail/async/callbacks.hpp>
#include <procpool/duration.hpp>
#include <procpool/progress.hpp>

namespace procpool::inline v0 {

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

/// The cases in which a failed element is run again, and how often. A number means: so many times,
/// after a crash of its worker or a timeout. An element that was cancelled is never run again.
struct Retries {
  /// At most so many times. The number is checked with the other options.
  template <std::integral I>
    requires(!std::same_as<I, bool>)
  Retries(I most) noexcept : times(most) {}  // NOLINT(google-explicit-constructor): as Count

  /// Also after an exception of this type, or of a derived type, that the function threw.
  template <class E>
  Retries& on() & {
    exceptions.push_back([](std::exception_ptr const& error) {
      try {
        std::rethrow_exception(error);
      } catch (E const&) {
        return true;
        // NOLINTNEXTLINE(misc-throw-by-value-catch-by-reference)
      } catch (E const*) {  // the pool asks for a listed type, without an object
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

  /// The wait before an attempt. The first attempt after the failed one has number 1. For the pool.
  PROCPOOL_API std::chrono::milliseconds backoff_before(std::size_t attempt) const;

  /// The number of further attempts: 1 to 1,000,000.
  Count times;
  /// After WorkerDied and BadMessage.
  bool on_crash = true;
  /// After TaskTimeout of an element that ran.
  bool on_timeout = true;
  /// The wait before the first of them. Each further wait is twice as long.
  Milliseconds backoff{};
  /// Made by on().
  std::vector<bool (*)(std::exception_ptr const&)> exceptions;
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

 private:
  std::uint64_t value_;
};

/// Options of one call: pool.with({.chunk = 64}).map<f>(xs). An option that is not given comes from
/// PoolOptions::defaults. An operation refuses an option that it does not use, by
/// std::invalid_argument.
struct CallOptions {
  /// map, starmap, try_map, imap and their variants: how many consecutive elements are sent
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
  /// worker: SIGTERM, then SIGKILL after PoolOptions::term_grace. It ends with TaskTimeout. No
  /// other element is touched.
  std::optional<Milliseconds> timeout{};
  /// How long an element may wait, from its submit to its begin. After that it never runs, and ends
  /// with TaskTimeout.
  std::optional<Milliseconds> queue_timeout{};
  /// How often an element that failed is run again. Not given: never, because it may have done half
  /// of its work. The final error also tells how the earlier attempts ended.
  std::optional<Retries> retries{};
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
};

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

}  // namespace procpool::inline v0
