#include <stdexcept>

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

// The members of CallOptions, once: name, bit, and how it is told whether one is given.
template <class Visit>
void each_option(CallOptions const& options, Visit visit) {
  visit("chunk", use_chunk, options.chunk.has_value());
  visit("window", use_window, options.window.has_value());
  visit("slices", use_slices, options.slices.has_value());
  visit("on_error", use_on_error, options.on_error.has_value());
  visit("progress", use_progress, static_cast<bool>(options.progress));
  visit("executor", use_executor, static_cast<bool>(options.executor));
  visit("timeout", use_timeout, options.timeout.has_value());
  visit("queue_timeout", use_queue_timeout, options.queue_timeout.has_value());
  visit("retries", use_retries, options.retries.has_value());
  visit("priority", use_priority, options.priority.has_value());
  visit("key", use_key, options.key.has_value());
  visit("when_full", use_when_full, options.when_full.has_value());
  visit("stream", use_stream, options.stream.has_value());
}

}  // namespace

void check_options(CallOptions const& options) {
  if (options.chunk) options.chunk->checked("chunk", max_chunk);
  if (options.window) options.window->checked("window", max_window);
  if (options.slices) options.slices->checked("slices", max_slices);
  auto const positive = [](std::optional<std::chrono::milliseconds> time, char const* name) {
    if (!time || *time > std::chrono::milliseconds::zero()) return;
    throw std::invalid_argument("procpool: " + std::string(name) + " is " +
                                std::to_string(time->count()) + " ms; it must be positive");
  };
  positive(options.timeout, "timeout");
  positive(options.queue_timeout, "queue_timeout");
  if (options.retries) {
    options.retries->times.checked("retries", max_retries);
    if (options.retries->backoff < std::chrono::milliseconds::zero()) {
      throw std::invalid_argument("procpool: the backoff of retries is negative");
    }
  }
}

CallOptions merge_options(CallOptions const& defaults, CallOptions const& given) {
  CallOptions merged = defaults;
  if (given.chunk) merged.chunk = given.chunk;
  if (given.window) merged.window = given.window;
  if (given.slices) merged.slices = given.slices;
  if (given.on_error) merged.on_error = given.on_error;
  if (given.progress) merged.progress = given.progress;
  if (given.executor) merged.executor = given.executor;
  if (given.timeout) merged.timeout = given.timeout;
  if (given.queue_timeout) merged.queue_timeout = given.queue_timeout;
  if (given.retries) merged.retries = given.retries;
  if (given.priority) merged.priority = given.priority;
  if (given.key) merged.key = given.key;
  if (given.when_full) merged.when_full = given.when_full;
  if (given.stream) merged.stream = given.stream;
  return merged;
}

void refuse_unused(CallOptions const& given, unsigned used, std::string_view operation) {
  each_option(given, [&](char const* name, unsigned bit, bool is_given) {
    if (is_given && (used & bit) == 0) {
      throw std::invalid_argument("procpool: the option `" + std::string(name) +
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
