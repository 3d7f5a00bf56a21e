// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Options of a call: each member of CallOptions is listed once, with its name, its bit and its
// check.

#include <algorithm>
#include <bit>
#include <stdexcept>
#include <tuple>

#include <procpool/detail/codec/archive/member_count.hpp>
#include <procpool/detail/engine/task_control.hpp>
#include <procpool/detail/operations/call_options.hpp>

#include "options_text.hpp"

namespace procpool::inline v0_1 {

std::uint64_t Count::value() const {
  if (!negative_) return value_;
  throw std::invalid_argument("procpool: a number is " + detail::text_of(*this) +
                              "; it must not be negative");
}

std::ostream& operator<<(std::ostream& out, Count const& count) {
  return out << (count.negative_ ? std::to_string(static_cast<std::int64_t>(count.value_))
                                 : std::to_string(count.value_));
}

std::size_t detail::checked(Count const& count, std::string_view what, std::size_t most,
                            std::size_t least) {
  if (!count.negative_ && count.value_ >= least && count.value_ <= most) {
    return static_cast<std::size_t>(count.value_);
  }
  throw std::invalid_argument("procpool: " + std::string(what) + " is " + text_of(count) +
                              "; it must be from " + std::to_string(least) + " to " +
                              std::to_string(most));
}

bool ThrownTypes::contains(std::exception_ptr const& error) const {
  return std::ranges::any_of(tests_, [&](detail::ThrownTest test) { return test(error); });
}

bool ThrownTypes::operator==(ThrownTypes const& other) const noexcept {
  return std::ranges::equal(tests_, other.tests_);
}

Key::Key(std::string_view text) noexcept : value_(std::hash<std::string_view>{}(text)) {}

std::ostream& operator<<(std::ostream& out, Key const& key) {
  return out << std::to_string(key.value());
}

std::ostream& operator<<(std::ostream& out, OnError on_error) {
  return out << detail::enum_text("OnError", {"stop", "finish", "collect"}, on_error);
}

std::ostream& operator<<(std::ostream& out, WhenFull when_full) {
  return out << detail::enum_text("WhenFull", {"block", "refuse"}, when_full);
}

namespace detail {

namespace {

// A member of CallOptions. `check` is called with a value that was given, and throws
// std::invalid_argument if that makes no sense.
template <class T>
struct Option {
  char const* name;
  T CallOptions::* member;
  unsigned bit;
  void (*check)(char const* name, T const& given) = nullptr;
};

template <std::size_t most>
void at_most(char const* name, std::optional<Count> const& given) {
  checked(*given, name, most);
}

void positive(char const* name, std::optional<Milliseconds> const& given) {
  std::chrono::milliseconds const time = *given;
  if (time > std::chrono::milliseconds::zero()) return;
  throw std::invalid_argument("procpool: " + std::string(name) + " is " +
                              std::to_string(time.count()) + " ms; it must be positive");
}

void sensible(char const*, Retries const& given) {
  if (!given.times) throw std::invalid_argument("procpool: retries.times is not given");
  checked(*given.times, "retries.times", max_retries, 0);
  if (given.backoff < std::chrono::milliseconds::zero()) {
    throw std::invalid_argument("procpool: retries.backoff is negative");
  }
}

template <class T>
bool is_given(T const& value) {
  if constexpr (std::is_constructible_v<bool, T const&>) {
    return static_cast<bool>(value);
  } else {
    return !same(value, T());
  }
}

// It is part of error texts, of the titles of workers, and of lines in the log.
void printable(char const* name, std::optional<std::string> const& given) {
  constexpr std::size_t most = 255;
  std::string const what = "procpool: " + std::string(name);
  if (given->empty() || given->size() > most) {
    throw std::invalid_argument(what + " has " + std::to_string(given->size()) +
                                " bytes; it must have 1 to " + std::to_string(most));
  }
  auto const is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (std::ranges::any_of(*given, is_control)) {
    throw std::invalid_argument(what + " has a control character, such as the end of a line");
  }
}

constexpr std::tuple all_options{
    Option{"chunk", &CallOptions::chunk, use_chunk, at_most<max_chunk>},
    Option{"window", &CallOptions::window, use_window, at_most<max_window>},
    Option{"slices", &CallOptions::slices, use_slices, at_most<max_slices>},
    Option{"on_error", &CallOptions::on_error, use_on_error},
    Option{"progress", &CallOptions::progress, use_progress},
    Option{"executor", &CallOptions::executor, use_executor},
    Option{"timeout", &CallOptions::timeout, use_timeout, positive},
    Option{"queue_timeout", &CallOptions::queue_timeout, use_queue_timeout, positive},
    Option{"deadline", &CallOptions::deadline, use_deadline},
    Option{"retries", &CallOptions::retries, use_retries, sensible},
    Option{"priority", &CallOptions::priority, use_priority},
    Option{"key", &CallOptions::key, use_key},
    Option{"when_full", &CallOptions::when_full, use_when_full},
    Option{"stream", &CallOptions::stream, use_stream},
    Option{"stop", &CallOptions::stop, use_stop},
    Option{"label", &CallOptions::label, use_label, printable},
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
    if (option.check && is_given(value)) option.check(option.name, value);
  });
}

CallOptions merge_options(CallOptions const& defaults, CallOptions const& given) {
  CallOptions merged = defaults;
  each_option([&](auto const& option) {
    if (is_given(given.*option.member)) merged.*option.member = given.*option.member;
  });
  return merged;
}

void refuse_unused(CallOptions const& given, unsigned used, std::string_view operation) {
  each_option([&](auto const& option) {
    if (is_given(given.*option.member) && (used & option.bit) == 0) {
      throw std::invalid_argument("procpool: the option `" + std::string(option.name) +
                                  "` has no meaning for " + std::string(operation));
    }
  });
}

std::chrono::milliseconds backoff_before(std::size_t attempt, Retries const& retries) {
  constexpr std::size_t max_doublings = 20;
  std::int64_t const factor = std::int64_t{1}
                              << (attempt - 1 < max_doublings ? attempt - 1 : max_doublings);
  std::chrono::milliseconds const first = retries.backoff;
  return first > first.max() / factor ? first.max() : first * factor;
}

TaskControl control_of(CallOptions const& options) {
  Retries const& retries = options.retries;
  bool const tries_again =
      retries.times && checked(*retries.times, "retries.times", max_retries, 0) != 0;
  return {.timeout = options.timeout,
          .queue_timeout = options.queue_timeout,
          .retries = tries_again ? std::optional(retries) : std::nullopt,
          .priority = options.priority.value_or(0),
          .key = options.key,
          .when_full = options.when_full.value_or(WhenFull::block),
          .stream = options.stream,
          .deadline = options.deadline ? options.deadline->time() : std::nullopt,
          .label = options.label ? Label(*options.label) : Label()};
}

Label::Label(std::string given)
    : text(std::move(given)), id(std::hash<std::string>{}(text) | no_task) {}

}  // namespace detail

bool CallOptions::operator==(CallOptions const& other) const {
  return detail::same_members(*this, other, detail::all_options);
}

std::ostream& operator<<(std::ostream& out, CallOptions const& options) {
  return out << detail::text_of_members(options, detail::all_options);
}

std::ostream& operator<<(std::ostream& out, Retries const& retries) {
  using detail::Named;
  constexpr std::tuple members{Named{"times", &Retries::times}, Named{"backoff", &Retries::backoff},
                               Named{"on_crash", &Retries::on_crash},
                               Named{"on_timeout", &Retries::on_timeout},
                               Named{"also_on", &Retries::also_on}};
  static_assert(std::tuple_size_v<decltype(members)> == detail::count_members<Retries>().count);
  return out << detail::text_of_members(retries, members);
}

}  // namespace procpool::inline v0_1
