#pragma once

// CallOptions: how one call is to be made, and the values it is made of. Given ahead of the verb, or for
// all calls of a pool as PoolOptions::defaults. The order of the members is API: new ones go to the end.

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
      } catch (E const*) {  // how the pool asks for a listed type, without an object
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
    constexpr std::size_t max_doublings = 20;
    std::int64_t const factor = std::int64_t{1}
                                << (attempt - 1 < max_doublings ? attempt - 1 : max_doublings);
    std::chrono::milliseconds const first = backoff;
    return first > first.max() / factor ? first.max() : first * factor;
  }

  Count times;             // after the first
  bool on_crash = true;    // WorkerDied, BadMessage
  bool on_timeout = true;  // TaskTimeout of an element that ran
  // How long to wait before the first of them; twice as long before each further one.
  Milliseconds backoff{};
  std::vector<bool (*)(std::exception_ptr const&)> exceptions;
};

// What a call does when PoolOptions::queue_limit is reached.
enum class WhenFull {
  block,  // waits until there is room
  refuse  // throws QueueFull; nothing was submitted
};

// Equal keys name the same worker, see CallOptions::key.
class Key {
 public:
  template <std::integral I>
  constexpr Key(I number) noexcept  // NOLINT(google-explicit-constructor): a number is a Key
      : value_(static_cast<std::uint64_t>(number)) {}
  Key(std::string_view text) noexcept  // NOLINT(google-explicit-constructor): a text is a Key
      : value_(std::hash<std::string_view>{}(text)) {}
  Key(char const* text) noexcept : Key(std::string_view(text)) {}         // NOLINT
  Key(std::string const& text) noexcept : Key(std::string_view(text)) {}  // NOLINT

  constexpr std::uint64_t value() const noexcept { return value_; }

 private:
  std::uint64_t value_;
};

// Options of one call, given ahead of the verb: pool.with({.chunk = 64}).map<f>(xs). What is not given
// comes from PoolOptions::defaults. An option that a verb has no use for is refused by
// std::invalid_argument.
struct CallOptions {
  // map, starmap, try_map, imap and their kin: how many consecutive elements travel together. Not
  // given: chosen by the measured cost of an element. Several that are over in 50 us may go together. Never
  // a unit of failure, cancelling or blame.
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
  std::optional<Milliseconds> timeout{};
  // How long an element may wait, from its submit to its begin. After that it never runs, and ends with
  // TaskTimeout.
  std::optional<Milliseconds> queue_timeout{};
  // How often an element that failed is run again. Not given: never, since it may have done half of what
  // it does. What it ends with in the end also tells what became of the earlier attempts.
  std::optional<Retries> retries{};
  // Among what waits, higher ones go first; equal ones in the order of their submits. Not given: 0.
  // What a worker has been given, and not begun, gives way too, unless it is over soon.
  std::optional<int> priority{};
  // A number or a text. All calls with equal keys run in one worker, as long as that lives; after that in
  // another, again all in one. They wait for it even while others are idle.
  std::optional<Key> key{};
  // What happens at PoolOptions::queue_limit. Not given: block.
  std::optional<WhenFull> when_full{};
  // The name of the call's random streams: this_task::random() derives from it instead of from how many calls
  // the pool had taken. For threads that submit in no fixed order. Calls of the same name draw the same
  // numbers, so it is refused in PoolOptions::defaults.
  std::optional<std::uint64_t> stream{};
};

// What cancel() found, and did.
enum class Cancel {
  too_late,     // all had ended already
  never_began,  // what had not ended had not begun, and never will
  ended         // something was running: it was ended with its worker; or, where it listens to
  // this_task::stop_requested(), ended itself; or it is code of the program's own, which goes
  // on, but gives no value any more, see Future::cancel
};

}  // namespace procpool::inline v0
