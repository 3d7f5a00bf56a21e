// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include <procpool/errors.hpp>

#include <string.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <mutex>

#include <procpool/detail/call/type_name.hpp>
#include <procpool/detail/codec/exception_codec.hpp>
#include <procpool/detail/engine/reason.hpp>

#include "engine/crash_report.hpp"
#include "engine/describe.hpp"
#include "identity/function_text.hpp"
#include "os/text.hpp"

namespace procpool::inline v0_1 {
namespace {

std::string_view stage_text(detail::Stage stage) {
  switch (stage) {
    case detail::Stage::starting: return "starting";
    case detail::Stage::idle: return "idle";
    case detail::Stage::loading: return "loading";
    case detail::Stage::running: return "running";
    case detail::Stage::saving: return "saving";
  }
  return "running";  // the worker wrote something else
}

std::string hexadecimal(std::uint64_t number) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "0x%llx", static_cast<unsigned long long>(number));
  return text.data();
}

std::string signal_name(int signal) {
  char const* const name = ::sigabbrev_np(signal);
  return name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(signal);
}

// "task 3", or with a label: task 3 "parse"
std::string task_text(std::uint64_t task, std::string const& label) {
  return "task " + std::to_string(task) + (label.empty() ? label : " \"" + label + '"');
}

std::string sentence(WorkerDeath const& death, std::string const& calls = {}) {
  std::string text = task_text(death.task, death.label) + ", element " +
                     std::to_string(death.element) + ": its worker (worker " +
                     std::to_string(death.worker) + " of pool \"" + death.pool + "\", pid " +
                     std::to_string(death.pid) +
                     (death.host.empty() ? std::string() : " on host " + death.host) + ") ";
  if (death.signal) {
    text += "was killed by " + signal_name(*death.signal);
    if (death.crash) {
      if (death.crash->signal() != *death.signal) {
        text += ", having hung while it reported " + signal_name(death.crash->signal());
      }
      if (std::string const where = death.crash->where(); !where.empty()) text += " " + where;
    }
  } else if (death.exit_status) {
    text += "exited with status " + std::to_string(*death.exit_status);
  } else if (death.abandoned) {
    text += "did not end on SIGKILL (the system does not let this process end it, or does not let "
            "it go) and was abandoned";
  } else {
    text += "ended, and somebody else took its exit status,";
  }
  text += " while ";
  text += stage_text(death.stage);
  if (!calls.empty()) text += ", " + calls;
  if (!death.detail.empty()) text += ": " + death.detail;
  text += attempts_text(death.earlier, death.attempts_failed);
  return text;
}

}  // namespace

std::string attempts_text(std::vector<std::string> const& earlier, std::uint64_t failed) {
  if (earlier.empty()) return {};
  return "; attempt " + std::to_string(failed + 1) +
         ", the one before it ended with: " + earlier.back();
}

RemoteError::RemoteError(std::string const& text, Origin origin)
    : Error(text), Origin(std::move(origin)) {}
RemoteError::~RemoteError() = default;

std::string StackFrame::text() const {
  constexpr std::size_t longest_name = 120;
  constexpr std::size_t longest_module =
      45;  // the end of its path, where there is a name beside it
  constexpr std::size_t longest_path = 160;
  std::string file = module;
  std::size_t const most = function.empty() ? longest_path : longest_module;
  std::string const name = identity::shortened(function, longest_name);
  if (name.size() + file.size() > longest_path && file.size() > most) {
    file = "..." + file.substr(file.size() - most);
  }
  std::string const place = file.empty() ? hexadecimal(offset) : file + "+" + hexadecimal(offset);
  return name.empty() ? place : name + " (" + place + ")";
}

struct WorkerDied::Text {
  std::once_flag once;
  std::string text;
};

WorkerDied::WorkerDied(WorkerDeath death)
    : Error(sentence(death)),
      death_(std::move(death)),
      text_(death_.crash ? std::make_shared<Text>() : nullptr) {}
WorkerDied::~WorkerDied() = default;

char const* WorkerDied::what() const noexcept {
  if (!text_) return Error::what();
  try {
    std::call_once(text_->once,
                   [this] { text_->text = sentence(death_, death_.crash->first_calls()); });
    return text_->text.c_str();
  } catch (...) {  // no memory, no descriptor
    return Error::what();
  }
}

std::vector<StackFrame> const& WorkerDied::stack() const {
  static std::vector<StackFrame> const none;
  return death_.crash ? death_.crash->stack() : none;
}

std::optional<std::uintptr_t> WorkerDied::fault_address() const noexcept {
  return death_.crash ? death_.crash->fault_address() : std::nullopt;
}

std::optional<std::uint64_t> WorkerDied::peak_memory() const noexcept {
  if (death_.peak_memory == 0) return std::nullopt;
  return death_.peak_memory;
}

std::string_view WorkerDied::stage() const noexcept { return stage_text(death_.stage); }

detail::ElementFailure::~ElementFailure() = default;
HostLost::HostLost(std::string const& text, std::string host, std::string reason, Begun begun,
                   std::uint64_t task, std::uint64_t element)
    : ElementFailure(text, task, element),
      host_(std::move(host)),
      reason_(std::move(reason)),
      begun_(begun) {}
HostLost::~HostLost() = default;
TaskTimeout::~TaskTimeout() = default;
TaskCancelled::~TaskCancelled() = default;
PoolClosed::~PoolClosed() = default;
ActorDied::~ActorDied() = default;
QueueFull::~QueueFull() = default;
QueueClosed::~QueueClosed() = default;
PipeClosed::~PipeClosed() = default;
QueueBroken::~QueueBroken() = default;
HolderDied::~HolderDied() = default;
StillShared::~StillShared() = default;
SetupError::~SetupError() = default;
BadMessage::~BadMessage() = default;

ElementErrors::ElementErrors(std::vector<ElementError> failures)
    : Error(std::to_string(failures.size()) + " elements failed, the first of them element " +
            std::to_string(failures.front().element) + ": " + failures.front().error.describe()),
      failures_(std::move(failures)) {}
ElementErrors::~ElementErrors() = default;

namespace {

std::string line_of(std::exception const& exception, char const* what) {
  auto const* const origin = dynamic_cast<Origin const*>(&exception);
  std::string text = origin != nullptr ? origin->type : detail::type_name(typeid(exception));
  text += ": ";
  text += what;
  if (origin != nullptr) {
    text += " (" + task_text(origin->task, origin->label) + ", element " +
            std::to_string(origin->element) +
            (origin->worker < 0 ? ", in this process"
                                : ", worker " + std::to_string(origin->worker) + ", pid " +
                                      std::to_string(origin->pid)) +
            ")";
    for (std::string const& cause : origin->causes) text += "; because of " + cause;
  }
  return os::one_line(text);
}

// Indented, to stand below the line of the error.
std::string details_of(WorkerDied const& died) {
  std::string text;
  std::size_t number = 0;
  for (StackFrame const& frame : died.stack()) {
    text += "\n  #" + std::to_string(number++) + " " + os::one_line(frame.text());
  }
  if (auto const peak = died.peak_memory()) {
    text += "\n  memory at most: " + std::to_string(*peak / 1024) + " KiB";
  }
  if (!died.output().empty()) {
    text += "\n  last output:";
    for (std::size_t at = 0; at < died.output().size();) {
      std::size_t const end = std::min(died.output().find('\n', at), died.output().size());
      text += "\n  | " + os::one_line(std::string_view(died.output()).substr(at, end - at));
      at = end + 1;
    }
  }
  return text;
}

}  // namespace

std::string describe(std::exception_ptr const& error) {
  if (!error) return "nothing";
  Failure const failure(error);
  if (auto const* const died = failure.as<WorkerDied>()) {
    return line_of(*died, died->what()) + details_of(*died);
  }
  auto const* const exception = failure.as<std::exception>();
  return exception != nullptr ? line_of(*exception, exception->what()) : failure.what();
}

// ---- which element an error is of

namespace {

template <class E>
std::exception_ptr tell_element(void const* error, std::uint64_t task, std::uint64_t element) {
  E told = *static_cast<E const*>(error);
  told.tell(task, element);
  return std::make_exception_ptr(std::move(told));
}

template <>
std::exception_ptr tell_element<SetupError>(void const* error, std::uint64_t task,
                                            std::uint64_t element) {
  auto const& told = *static_cast<SetupError const*>(error);
  Origin origin;
  origin.pid = ::getpid();
  origin.task = task;
  origin.element = element;
  origin.type = detail::type_name(typeid(SetupError));
  return std::make_exception_ptr(FromWorker<SetupError>(told, told.what(), std::move(origin)));
}

}  // namespace

detail::SharedReason::SharedReason(std::exception_ptr reason) : reason_(std::move(reason)) {
  // Only an error of exactly that type: what a task threw has its Origin, and stays what it is.
  auto const keep = [this]<class E>(std::type_identity<E>) {
    if (!reason_ || *reason_.__cxa_exception_type() != typeid(E)) return;
    error_ = std::make_shared<E const>(*Failure(reason_).as<E>());
    tell_ = &tell_element<E>;
  };
  keep(std::type_identity<TaskTimeout>());
  keep(std::type_identity<TaskCancelled>());
  keep(std::type_identity<BadMessage>());
  keep(std::type_identity<HostLost>());
  keep(std::type_identity<SetupError>());
}

std::exception_ptr detail::SharedReason::of(std::uint64_t task, std::uint64_t element) const {
  return error_ == nullptr ? reason_ : tell_(error_.get(), task, element);
}

Origin detail::origin_of(OutcomeBlock const& block, std::uint64_t task) {
  Origin origin;
  origin.worker = block.worker;
  origin.pid = block.pid;
  if (block.host) origin.host = *block.host;
  origin.task = task;
  origin.element = block.first;
  return origin;
}

std::exception_ptr detail::reason_of(OutcomeBlock const& block, std::uint64_t task,
                                     ExceptionTypes listed, Attempts const& earlier,
                                     std::string_view label) {
  if (block.kind == OutcomeBlock::Kind::failed) return block.failure;
  Origin origin = origin_of(block, task);
  origin.label = label;
  if (earlier.failed > earlier.told.size()) {
    origin.causes.push_back(std::to_string(earlier.failed - earlier.told.size()) +
                            " attempts before those that follow");
  }
  for (std::string const& attempt : earlier.told) {
    origin.causes.push_back("an earlier attempt: " + attempt);
  }
  ResourceScope const scope(block.resources.get());
  return decode_exception(block.payload.bytes(), origin, listed.functions());
}

void detail::throw_of_element(std::uint64_t task, std::uint64_t element) {
  Origin origin;
  origin.pid = ::getpid();
  origin.task = task;
  origin.element = element;
  std::rethrow_exception(with_origin(std::current_exception(), origin));
}

std::string detail::describe_briefly(std::exception_ptr const& error) {
  if (!error) return describe(error);
  auto const* const died = Failure(error).as<WorkerDied>();
  return died != nullptr ? line_of(*died, died->Error::what()) : describe(error);
}

}  // namespace procpool::inline v0_1
