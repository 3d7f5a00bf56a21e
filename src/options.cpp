// Options of a call: each member of CallOptions is listed once, with its name, its bit and its
// check.

#include <bit>
#include <stdexcept>
#include <tuple>

#include <procpool/detail/codec/archive/member_count.hpp>
#include <procpool/detail/engine/task_control.hpp>
#include <procpool/detail/operations/call_options.hpp>

namespace procpool::inline v0 {

std::size_t Count::checked(std::string_view what, std::size_t most) const {
  if (!negative_ && value_ >= 1 && value_ <= most) return static_cast<std::size_t>(value_);
  std::string const given =
      negative_ ? std::to_string(static_cast<std::int64_t>(value_)) : std::to_string(value_);
  throw std::invalid_argument("procpool: " + std::string(what) + " is " + given +
                              "; it must be from 1 to " + std::to_string(most));
}

std::chrono::milliseconds Retries::backoff_before(std::size_t attempt) const {
  constexpr std::size_t max_doublings = 20;
  std::int64_t const factor = std::int64_t{1}
                              << (attempt - 1 < max_doublings ? attempt - 1 : max_doublings);
  std::chrono::milliseconds const first = backoff;
  return first > first.max() / factor ? first.max() : first * factor;
}

Key::Key(std::string_view text) noexcept : value_(std::hash<std::string_view>{}(text)) {}

namespace detail {

namespace {

// A member of CallOptions. `check` is called with a value that was given, and throws
// std::invalid_argument if that makes no sense.
template <class T>
struct Option {
  char const* name;
  unsigned bit;
  T CallOptions::* member;
  void (*check)(char const* name, T const& given) = nullptr;
};

template <std::size_t most>
void at_most(char const* name, std::optional<Count> const& given) {
  given->checked(name, most);
}

void positive(char const* name, std::optional<Milliseconds> const& given) {
  std::chrono::milliseconds const time = *given;
  if (time > std::chrono::milliseconds::zero()) return;
  throw std::invalid_argument("procpool: " + std::string(name) + " is " +
                              std::to_string(time.count()) + " ms; it must be positive");
}

void sensible(char const* name, std::optional<Retries> const& given) {
  given->times.checked(name, max_retries);
  if (given->backoff < std::chrono::milliseconds::zero()) {
    throw std::invalid_argument("procpool: the backoff of retries is negative");
  }
}

constexpr std::tuple all_options{
    Option{"chunk", use_chunk, &CallOptions::chunk, at_most<max_chunk>},
    Option{"window", use_window, &CallOptions::window, at_most<max_window>},
    Option{"slices", use_slices, &CallOptions::slices, at_most<max_slices>},
    Option{"on_error", use_on_error, &CallOptions::on_error},
    Option{"progress", use_progress, &CallOptions::progress},
    Option{"executor", use_executor, &CallOptions::executor},
    Option{"timeout", use_timeout, &CallOptions::timeout, positive},
    Option{"queue_timeout", use_queue_timeout, &CallOptions::queue_timeout, positive},
    Option{"retries", use_retries, &CallOptions::retries, sensible},
    Option{"priority", use_priority, &CallOptions::priority},
    Option{"key", use_key, &CallOptions::key},
    Option{"when_full", use_when_full, &CallOptions::when_full},
    Option{"stream", use_stream, &CallOptions::stream},
};
static_assert(std::tuple_size_v<decltype(all_options)> == count_members<CallOptions>().count,
              "each member of CallOptions is an option");

template <class Visit>
constexpr void each_option(Visit visit) {
  std::apply([&](auto const&... option) { (visit(option), ...); }, all_options);
}

static_assert(
    [] {
      unsigned seen = 0;
      bool unique = true;
      each_option([&](auto const& option) {
        unique = unique && std::has_single_bit(option.bit) && (seen & option.bit) == 0;
        seen |= option.bit;
      });
      return unique;
    }(),
    "each option has a bit of its own");

}  // namespace

void check_options(CallOptions const& options) {
  each_option([&](auto const& option) {
    auto const& value = options.*option.member;
    if (option.check && value) option.check(option.name, value);
  });
}

CallOptions merge_options(CallOptions const& defaults, CallOptions const& given) {
  CallOptions merged = defaults;
  each_option([&](auto const& option) {
    if (given.*option.member) merged.*option.member = given.*option.member;
  });
  return merged;
}

void refuse_unused(CallOptions const& given, unsigned used, std::string_view operation) {
  each_option([&](auto const& option) {
    if (given.*option.member && (used & option.bit) == 0) {
      throw std::invalid_argument("procpool: the option `" + std::string(option.name) +
                                  "` has no meaning for " + std::string(operation));
    }
  });
}

TaskControl control_of(CallOptions const& options) {
  return {options.timeout, options.queue_timeout,
          options.retries, options.priority.value_or(0),
          options.key,     options.when_full.value_or(WhenFull::block),
          options.stream};
}

}  // namespace detail

}  // namespace procpool::inline v0
