#include <procpool/errors.hpp>

#include <string.h>

#include <procpool/detail/type_name.hpp>

namespace procpool::inline v0 {
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

std::string sentence(WorkerDeath const& death) {
  std::string text = "task " + std::to_string(death.task) + ", element " +
                     std::to_string(death.element) + ": its worker (worker " +
                     std::to_string(death.worker) + " of pool \"" + death.pool + "\", pid " +
                     std::to_string(death.pid) + ") ";
  if (death.signal) {
    char const* const name = ::sigabbrev_np(*death.signal);
    text += "was killed by ";
    text += name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(*death.signal);
  } else if (death.exit_status) {
    text += "exited with status " + std::to_string(*death.exit_status);
  } else {
    text += "ended, and somebody else took its exit status,";
  }
  text += " while ";
  text += stage_text(death.stage);
  if (!death.detail.empty()) text += ": " + death.detail;
  text += attempts_text(death.earlier);
  return text;
}

}  // namespace

std::string attempts_text(std::vector<std::string> const& earlier) {
  if (earlier.empty()) return {};
  return "; attempt " + std::to_string(earlier.size() + 1) +
         ", the one before it ended with: " + earlier.back();
}

RemoteError::RemoteError(std::string const& text, Origin origin)
    : Error(text), Origin(std::move(origin)) {}
RemoteError::~RemoteError() = default;

WorkerDied::WorkerDied(WorkerDeath death) : Error(sentence(death)), death_(std::move(death)) {}
WorkerDied::~WorkerDied() = default;
std::string_view WorkerDied::stage() const noexcept { return stage_text(death_.stage); }

TaskTimeout::~TaskTimeout() = default;
TaskCancelled::~TaskCancelled() = default;
PoolClosed::~PoolClosed() = default;
QueueFull::~QueueFull() = default;
SetupError::~SetupError() = default;
BadMessage::~BadMessage() = default;

ElementErrors::ElementErrors(std::vector<ElementError> failures)
    : Error(std::to_string(failures.size()) + " elements failed, the first of them element " +
            std::to_string(failures.front().element) + ": " + describe(failures.front().error)),
      failures_(std::move(failures)) {}
ElementErrors::~ElementErrors() = default;

std::string describe(std::exception_ptr const& error) {
  if (!error) return "nothing";
  try {
    std::rethrow_exception(error);
  } catch (std::exception const& exception) {
    auto const* const origin = dynamic_cast<Origin const*>(&exception);
    std::string text = origin != nullptr ? origin->type : detail::type_name(typeid(exception));
    text += ": ";
    text += exception.what();
    if (origin != nullptr) {
      text += " (task " + std::to_string(origin->task) + ", element " +
              std::to_string(origin->element) + ", worker " + std::to_string(origin->worker) +
              ", pid " + std::to_string(origin->pid) + ")";
      for (std::string const& cause : origin->causes) text += "; because of " + cause;
    }
    return text;
  } catch (...) {
    return "something that is no std::exception";
  }
}

}  // namespace procpool::inline v0
