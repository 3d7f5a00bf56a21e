// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/trace.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <concepts>
#include <cstring>
#include <typeinfo>

#include <procpool/detail/call/type_name.hpp>

#include "engine/patience.hpp"
#include "identity/function_text.hpp"
#include "os/text.hpp"

namespace procpool::inline v0_1::parent {

using detail::Lock;

namespace {

using Nanoseconds = std::chrono::nanoseconds;

// Beyond the places of a pool, for the rows of the next one.
constexpr std::uint64_t rows_per_pool = 10'000;
constexpr std::size_t max_names = 1024;
constexpr std::size_t max_name = 120;   // of a function
constexpr std::size_t max_text = 1024;  // of an event; twice as much with its backslashes

// "n::f" of a type such as FunctionConstant<&(int n::f<char>(int))>, else the type itself.
std::string function_name(std::type_info const& type) {
  std::string const text = detail::type_name(type);
  constexpr std::string_view constant = "FunctionConstant<&";
  std::size_t const found = text.find(constant);
  if (found == std::string::npos) return identity::shortened(text, max_name);
  std::string_view function = std::string_view(text).substr(found + constant.size());
  std::size_t end = 0;
  for (int depth = 0; end < function.size(); ++end) {
    char const c = function[end];
    if (depth == 0 && (c == ',' || c == '>')) break;
    if (c == '(' || c == '<' || c == '{') ++depth;
    if (c == ')' || c == '>' || c == '}') --depth;
  }
  function = function.substr(0, end);
  if (function.starts_with("(") && function.ends_with(")") && !function.starts_with("(anonymous")) {
    return identity::shortened(identity::qualified_name(function.substr(1, function.size() - 2)),
                               max_name);
  }
  return identity::shortened(function, max_name);
}

}  // namespace

// An event as it is written. What does not fit makes it a line that TraceFile refuses.
class Trace::Line {
 public:
  Line& operator<<(std::string_view text) noexcept {
    if (text.size() > text_.size() - size_) {
      size_ = text_.size();
    } else {
      std::memcpy(text_.data() + size_, text.data(), text.size());
      size_ += text.size();
    }
    return *this;
  }
  template <std::integral T>
  Line& operator<<(T number) noexcept {
    char* const end = text_.data() + text_.size();
    size_ = static_cast<std::size_t>(std::to_chars(text_.data() + size_, end, number).ptr -
                                     text_.data());
    return *this;
  }
  // The unit of the format is a microsecond.
  Line& operator<<(Nanoseconds time) noexcept {
    std::int64_t const nanoseconds = std::max<std::int64_t>(time.count(), 0);
    auto const part = static_cast<int>(nanoseconds % 1000);
    *this << nanoseconds / 1000;
    std::array<char, 4> const rest{'.', static_cast<char>('0' + part / 100),
                                   static_cast<char>('0' + part / 10 % 10),
                                   static_cast<char>('0' + part % 10)};
    return *this << std::string_view(rest.data(), rest.size());
  }

  std::string_view text() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, TraceFile::page>
      text_;  // NOLINT(*-member-init): it is written before it is read
  std::size_t size_ = 0;
};

Trace::Trace(std::shared_ptr<TraceFile> file, std::string pool, std::string_view title)
    : file_(std::move(file)),
      pool_(std::move(pool)),
      title_(file_->name_for(title)),
      first_row_(1 + file_->next_pool() * rows_per_pool),
      pid_(::getpid()) {
  name_row(first_row_, title_);
}

void Trace::begin(Line& line, std::string_view kind, std::uint64_t row,
                  TimePoint time) const noexcept {
  line << R"({"ph":")" << kind << R"(","pid":)" << pid_ << R"(,"tid":)" << row << R"(,"ts":)"
       << Nanoseconds(time.time_since_epoch());
}

void Trace::name_row(std::uint64_t number, std::string_view name) noexcept {
  detail::if_possible([&] {
    TimePoint const now{};
    Line title;
    begin(title, "M", number, now);
    file_->add(
        (title << R"(,"name":"thread_name","args":{"name":)" << os::quoted(name) << "}}").text());
    Line order;
    begin(order, "M", number, now);
    file_->add(
        (order << R"(,"name":"thread_sort_index","args":{"sort_index":)" << number << "}}").text());
  });
}

Trace::Row& Trace::row(std::size_t worker, std::string_view own) {
  if (worker >= rows_.size()) rows_.resize(worker + 1);
  Row& row = rows_[worker];
  if (row.name.empty() || (!own.empty() && own != row.name)) {
    row.name = own.empty() ? title_ + "/" + std::to_string(worker) : std::string(own);
    name_row(number_of(worker), file_->name_for(row.name));
  }
  return row;
}

void Trace::learn(detail::Task const& task) noexcept {
  if (task.internal()) return;
  detail::if_possible([&] {
    Lock const lock(mutex_);
    std::pair const key(task.function().code, task.label().id);
    if (names_.contains(key)) return;
    // Labels may be as many as calls.
    if (names_.size() == max_names) names_.clear();
    std::string name = task.label().text;
    if (name.empty()) {
      detail::Operation description;
      description.kind = detail::Operation::Kind::describe;
      task.function().code(description);
      name = function_name(*description.type);
    }
    names_.emplace(key, os::quoted(name));
  });
}

std::string const& Trace::name_of(detail::Task const& task) {
  static std::string const none = R"("task")";
  auto const found = names_.find({task.function().code, task.label().id});
  return found == names_.end() ? none : found->second;
}

void Trace::attempts(std::vector<Attempt> const& ended, TimePoint now) noexcept {
  detail::if_possible([&] {
    Lock const lock(mutex_);
    Nanoseconds behind{0};  // of attempts that follow
    for (Attempt const& attempt : ended) behind += attempt.ran.value_or(Nanoseconds(0));
    for (Attempt const& attempt : ended) {
      Row& row = this->row(attempt.worker);
      Nanoseconds const ran = attempt.ran.value_or(Nanoseconds(0));
      behind -= ran;
      TimePoint const end = std::max(now - behind, row.busy);
      TimePoint begin = std::max(end - ran, row.busy);
      // Without a word of the worker, it began when it could.
      if (!attempt.ran) begin = std::max(row.busy, attempt.queued.when);
      write(attempt, std::min(begin, end), end);
      row.busy = end;
    }
  });
}

void Trace::write(Attempt const& attempt, TimePoint begin, TimePoint end) noexcept {
  Line line;
  this->begin(line, "X", number_of(attempt.worker), begin);
  line << R"(,"dur":)" << end - begin << R"(,"name":)" << name_of(attempt.task)
       << R"(,"cat":"task","args":{"task":)" << attempt.task.id() << R"(,"element":)"
       << attempt.first << R"(,"elements":)" << attempt.count;
  if (attempt.queued.times != 0) line << R"(,"waited_us":)" << begin - attempt.queued.when;
  if (attempt.ran) line << R"(,"ran_us":)" << *attempt.ran;
  std::uint64_t number = 1;
  if (attempt.task.retries()) {
    std::uint64_t const failed = attempt.task.earlier_attempts(attempt.first).failed;
    number = attempt.again ? failed : failed + 1;
  }
  line << R"(,"attempt":)" << number << R"(,"outcome":")" << attempt.outcome << R"(","worker_pid":)"
       << attempt.pid << "}}";
  file_->add(line.text());
}

void Trace::not_run(detail::Task const& task, std::uint64_t first, std::uint64_t count,
                    std::string_view outcome) noexcept {
  if (task.internal()) return;
  detail::if_possible([&] {
    Lock const lock(mutex_);
    Line line;
    begin(line, "i", first_row_, std::chrono::steady_clock::now());
    file_->add((line << R"(,"s":"t","name":)" << name_of(task)
                     << R"(,"cat":"not run","args":{"task":)" << task.id() << R"(,"element":)"
                     << first << R"(,"elements":)" << count << R"(,"outcome":")" << outcome
                     << R"("}})")
                   .text());
  });
}

void Trace::message(std::size_t worker, std::size_t chunks) noexcept {
  Line line;
  begin(line, "i", number_of(worker), std::chrono::steady_clock::now());
  file_->add(
      (line << R"(,"s":"t","name":"message","cat":"message","args":{"chunks":)" << chunks << "}}")
          .text());
}

void Trace::revoked(std::size_t worker, std::uint64_t elements) noexcept {
  Line line;
  begin(line, "i", number_of(worker), std::chrono::steady_clock::now());
  file_->add((line << R"(,"s":"t","name":"revoked","cat":"scheduling","args":{"elements":)"
                   << elements << "}}")
                 .text());
}

void Trace::event(Event const& event) noexcept {
  detail::if_possible([&] {
    TimePoint const now = std::chrono::steady_clock::now();
    std::uint64_t number = first_row_;
    if (event.worker >= 0) {
      auto const worker = static_cast<std::size_t>(event.worker);
      number = number_of(worker);
      Lock const lock(mutex_);
      // The worker of an actor, or of a Process, has a name.
      Row& row = this->row(worker, event.pool == pool_ ? std::string_view() : event.pool);
      if (event.kind == EventKind::worker_started) row.busy = std::max(row.busy, now);
    }
    Line line;
    begin(line, "i", number, now);
    line << R"(,"s":")" << (event.worker >= 0 ? "t" : "p") << R"(","name":")"
         << to_string(event.kind) << R"(","cat":"event","args":{"text":)"
         << os::quoted(os::cut(event.text, max_text));
    if (event.pid != 0) line << R"(,"worker_pid":)" << event.pid;
    if (event.signal) line << R"(,"signal":)" << *event.signal;
    if (event.exit_status) line << R"(,"exit_status":)" << *event.exit_status;
    if (event.task) line << R"(,"task":)" << *event.task;
    if (event.element) line << R"(,"element":)" << *event.element;
    if (!event.label.empty()) line << R"(,"label":)" << os::quoted(event.label);
    file_->add((line << "}}").text());
  });
}

void Trace::waiting(std::uint64_t elements, TimePoint now) noexcept {
  constexpr std::chrono::milliseconds often{1};
  constexpr std::uint64_t finely = 8;
  {
    Lock const lock(mutex_);
    if (elements == waiting_) return;
    std::uint64_t const change = std::max(elements, waiting_) - std::min(elements, waiting_);
    if (elements != 0 && change <= waiting_ / finely && now - waiting_noted_ < often) return;
    waiting_ = elements;
    waiting_noted_ = now;
  }
  detail::if_possible([&] {
    Line line;
    begin(line, "C", first_row_, now);
    file_->add((line << R"(,"name":)" << os::quoted(title_ + ": waiting")
                     << R"(,"args":{"elements":)" << elements << "}}")
                   .text());
  });
}

std::optional<std::string> Trace::finish() noexcept {
  file_->flush();
  std::optional<std::string> failure;
  detail::if_possible([&] { failure = file_->failure(); });
  return failure;
}

}  // namespace procpool::inline v0_1::parent
