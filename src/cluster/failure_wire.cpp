// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "cluster/failure_wire.hpp"

#include <array>
#include <new>
#include <optional>
#include <typeinfo>
#include <utility>

#include <procpool/detail/codec/exception_codec.hpp>

#include "cluster/fields.hpp"
#include "engine/crash_report.hpp"
#include "os/text.hpp"

namespace procpool::inline v0_1::cluster {

namespace {

enum class Kind : std::uint32_t { died, timeout, cancelled, setup, bad_message, closed, other };

constexpr std::size_t max_text = std::size_t{64} << 10;
constexpr std::size_t max_frames = 64;

struct Frame {
  std::string function;
  std::string module;
  std::uint64_t offset = 0;
  template <class A>
  void fields(A& a) {
    a(function, module, offset);
  }
};

struct Crash {
  std::int32_t signal = 0;
  std::int32_t code = 0;
  std::optional<std::uint64_t> address{};
  bool overflow = false;
  bool other_thread = false;
  std::uint64_t peak = 0;
  std::vector<Frame> stack{};
  template <class A>
  void fields(A& a) {
    a(signal, code, address, overflow, other_thread, peak, stack);
  }
};

struct Died {
  std::int32_t worker = -1;
  std::int64_t pid = 0;
  std::optional<std::int32_t> signal{};
  std::optional<std::int32_t> exit_status{};
  std::uint32_t stage = 0;
  std::string detail{};
  Crash crash{};  // of signal 0: there is no report
  std::uint64_t peak_memory = 0;
  std::string output{};
  bool abandoned = false;
  template <class A>
  void fields(A& a) {
    a(worker, pid, signal, exit_status, stage, detail, crash, peak_memory, output, abandoned);
  }
};

// Of no kind of its own. With the place at which it was thrown, if it has one.
struct Other {
  std::int32_t worker = -1;
  std::int64_t pid = 0;
  bool has_origin = false;
  std::span<std::byte const> exception{};
  template <class A>
  void fields(A& a) {
    a(worker, pid, has_origin, exception);
  }
};

}  // namespace

template <>
inline constexpr std::uint64_t last_of<Kind> = static_cast<std::uint64_t>(Kind::other);

namespace {

Crash words_of(detail::CrashReport::Told told) {
  Crash crash{told.signal, told.code, told.fault_address, told.overflow, told.other_thread,
              told.peak,   {}};
  for (StackFrame& frame : told.stack) {
    crash.stack.push_back({std::move(frame.function), std::move(frame.module), frame.offset});
  }
  return crash;
}

Died words_of(WorkerDeath const& death) {
  Died died;
  died.worker = death.worker;
  died.pid = death.pid;
  died.signal = death.signal;
  died.exit_status = death.exit_status;
  died.stage = static_cast<std::uint32_t>(death.stage);
  died.detail = death.detail;
  if (death.crash) died.crash = words_of(death.crash->told());
  died.peak_memory = death.peak_memory;
  died.output = death.output;
  died.abandoned = death.abandoned;
  return died;
}

std::shared_ptr<detail::CrashReport const> report_of(Crash&& crash) {
  detail::CrashReport::Told told{
      crash.signal, crash.code, crash.address, crash.overflow, crash.other_thread, crash.peak, {}};
  if (crash.stack.size() > max_frames) crash.stack.resize(max_frames);
  for (Frame& frame : crash.stack) {
    told.stack.push_back({os::one_line(os::cut(frame.function, 1024)),
                          os::one_line(os::cut(frame.module, 4096)), frame.offset});
  }
  return detail::CrashReport::of(std::move(told));
}

int worker_in_pool(std::int32_t worker, FailurePlace const& place) {
  constexpr std::int32_t most = 1 << 16;
  return worker < 0 || worker > most ? -1 : place.first_worker + worker;
}

std::exception_ptr not_understood(FailurePlace const& place) {
  return std::make_exception_ptr(BadMessage(
      "task " + std::to_string(place.task) + ", element " + std::to_string(place.element) +
          ": the error that host " + place.host + " reported cannot be understood",
      place.task, place.element));
}

std::exception_ptr rebuild(Died&& died, FailurePlace const& place) {
  constexpr std::uint32_t last_stage = static_cast<std::uint32_t>(detail::Stage::saving);
  WorkerDeath death;
  death.pool = place.pool;
  death.worker = worker_in_pool(died.worker, place);
  death.pid = static_cast<pid_t>(died.pid);
  death.task = place.task;
  death.element = place.element;
  death.signal = died.signal;
  death.exit_status = died.exit_status;
  death.stage =
      died.stage > last_stage ? detail::Stage::running : static_cast<detail::Stage>(died.stage);
  death.host = place.host;
  death.detail = os::one_line(os::cut(died.detail, max_text));
  death.earlier = place.earlier;
  death.attempts_failed = place.attempts_failed;
  death.crash = report_of(std::move(died.crash));
  death.peak_memory = died.peak_memory;
  death.output = std::move(died.output);
  death.abandoned = died.abandoned;
  death.label = place.label;
  return std::make_exception_ptr(WorkerDied(std::move(death)));
}

std::exception_ptr rebuild(Other const& other, FailurePlace const& place) {
  Origin origin;
  origin.worker = other.has_origin ? worker_in_pool(other.worker, place) : -1;
  origin.pid = static_cast<pid_t>(other.pid);
  origin.host = place.host;
  origin.task = place.task;
  origin.element = place.element;
  origin.label = place.label;
  return detail::decode_exception(other.exception, origin);
}

// The error, if it is one of exactly that type.
template <class E>
E const* exactly(std::exception_ptr const& failure) {
  return *failure.__cxa_exception_type() == typeid(E) ? Failure(failure).as<E>() : nullptr;
}

}  // namespace

std::string with_task(std::string&& text, std::uint64_t here, std::uint64_t there) {
  std::string const ours = "task " + std::to_string(here);
  bool const names_it = text.starts_with(ours) && text.find_first_of(" ,", 5) == ours.size();
  return names_it ? "task " + std::to_string(there) + text.substr(ours.size()) : std::move(text);
}

detail::Bytes encode_failure(std::exception_ptr const& failure, std::uint64_t here,
                             std::uint64_t there) {
  detail::Bytes out;
  FieldWriter writer(out);
  auto const text_of = [&](std::exception const& error) {
    return with_task(os::cut(error.what(), max_text), here, there);
  };
  if (auto const* const died = exactly<WorkerDied>(failure)) {
    writer(Kind::died, words_of(died->death()));
  } else if (auto const* const timeout = exactly<TaskTimeout>(failure)) {
    writer(Kind::timeout, text_of(*timeout));
  } else if (auto const* const cancelled = exactly<TaskCancelled>(failure)) {
    writer(Kind::cancelled, text_of(*cancelled));
  } else if (auto const* const setup = exactly<SetupError>(failure)) {
    writer(Kind::setup, text_of(*setup));
  } else if (auto const* const bad = exactly<BadMessage>(failure)) {
    writer(Kind::bad_message, text_of(*bad));
  } else if (auto const* const closed = exactly<PoolClosed>(failure)) {
    writer(Kind::closed, text_of(*closed));
  } else {
    Other other;
    if (auto const* const origin = Failure(failure).as<Origin>()) {
      other.worker = origin->worker;
      other.pid = origin->pid;
      other.has_origin = true;
    }
    detail::Bytes exception;
    detail::encode_exception(exception, failure);
    other.exception = exception;
    writer(Kind::other, other);
  }
  return out;
}

std::exception_ptr decode_failure(std::span<std::byte const> bytes, FailurePlace const& place) {
  FieldReader reader(bytes);
  Kind kind{};
  reader(kind);
  if (reader.bad()) return not_understood(place);
  if (kind == Kind::died) {
    Died died;
    reader(died);
    return reader.good() ? rebuild(std::move(died), place) : not_understood(place);
  }
  if (kind == Kind::other) {
    Other other;
    reader(other);
    return reader.good() ? rebuild(other, place) : not_understood(place);
  }
  std::string text;
  reader(text);
  if (!reader.good()) return not_understood(place);
  text = os::one_line(os::cut(text, max_text));
  switch (kind) {
    case Kind::timeout:
      return std::make_exception_ptr(TaskTimeout(text, place.task, place.element));
    case Kind::cancelled:
      return std::make_exception_ptr(TaskCancelled(text, place.task, place.element));
    case Kind::bad_message:
      return std::make_exception_ptr(BadMessage(text, place.task, place.element));
    case Kind::setup: return std::make_exception_ptr(SetupError(text));
    case Kind::closed: return std::make_exception_ptr(PoolClosed(text));
    case Kind::died:
    case Kind::other: break;  // above
  }
  return not_understood(place);
}

}  // namespace procpool::inline v0_1::cluster
