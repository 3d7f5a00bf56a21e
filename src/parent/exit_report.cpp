// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "parent/exit_report.hpp"

#include <signal.h>
#include <string.h>

#include <utility>

#include <procpool/errors.hpp>

#include "engine/patience.hpp"

namespace procpool::inline v0_1::parent {
namespace {

std::string detail_text(channel::ExitHint exit_hint) {
  switch (exit_hint) {
    case channel::ExitHint::thread_ended: return "the task ended its thread (pthread_exit)";
    case channel::ExitHint::descriptors_gone:
      return "the task closed descriptors that the worker needs";
    case channel::ExitHint::helpless:
      return "it lacked memory, or another resource, for what it does between elements";
    case channel::ExitHint::left:
    case channel::ExitHint::retiring:
    case channel::ExitHint::exiting:
    case channel::ExitHint::none: break;
  }
  return {};  // none, or a value that no worker of this program writes
}

std::string suffix_of(LeaveReason reason) {
  switch (reason) {
    case LeaveReason::recycled: return ", replaced as planned";
    case LeaveReason::idle: return ", having been idle";
    case LeaveReason::resized: return ", one too many after resize()";
    case LeaveReason::none:
    case LeaveReason::with_pool:
    case LeaveReason::hung_up:
    case LeaveReason::for_element: break;
  }
  return {};
}

}  // namespace

std::string worker_name(std::size_t index, pid_t pid) {
  return "worker " + std::to_string(index) + " (pid " + std::to_string(pid) + ")";
}

std::string text_of_signal(int signal) {
  char const* const name = ::sigabbrev_np(signal);
  return name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(signal);
}

std::string text_of(os::Exit const& exit) {
  switch (exit.kind) {
    case os::Exit::Kind::exited: return "exited with status " + std::to_string(exit.code);
    case os::Exit::Kind::none: return "did not end on SIGKILL and was abandoned";
    case os::Exit::Kind::signalled: return "was killed by " + text_of_signal(exit.code);
    case os::Exit::Kind::unknown: break;
  }
  return "ended, its status taken by somebody else";
}

bool may_be_killed_externally(os::Exit const& exit) noexcept {
  return exit.kind == os::Exit::Kind::unknown ||
         (exit.kind == os::Exit::Kind::signalled && exit.code == SIGKILL);
}

std::string last_lines(std::string_view output) {
  constexpr std::size_t max_lines = 20;
  constexpr std::size_t max_bytes = 4096;
  while (output.ends_with('\n')) output.remove_suffix(1);
  if (output.size() > max_bytes) output.remove_prefix(output.size() - max_bytes);
  std::size_t begin = output.size();
  for (std::size_t lines = 0; lines < max_lines; ++lines) {
    std::size_t const end = begin == 0 ? std::string_view::npos : output.rfind('\n', begin - 1);
    if (end == std::string_view::npos) return std::string(output);
    begin = end;
  }
  return std::string(output.substr(begin + 1));
}

void ExitReport::examine(Slot::Death const& death) noexcept {
  stage = death.stage;
  exit_hint = death.exit_hint;
  poison = death.poison;
  crash = death.crash;
  detail::patiently([&] {
    bad = death.bad;
    output = last_lines(death.output);
  });
}

std::string ExitReport::text() const {
  // The pool has ended it for that: its signal says nothing.
  bool const ended_for_failure = killed && when == When::initializing && !failure.empty();
  std::string text = worker_name(worker, pid) + " " +
                     (departed            ? "left"
                      : ended_for_failure ? std::string("was ended, since its ") +
                                                (makes_object ? "object could not be made"
                                                              : "initializer has failed")
                                          : text_of(exit));
  if (when == When::starting) text += " before its first word";
  if (when == When::initializing && !ended_for_failure) {
    text += makes_object ? " while it made its object" : " in its initializer";
  }
  if (!cause.empty()) text += ": " + cause;
  if (!failure.empty()) text += ": " + failure;
  return text + suffix_of(leave_reason);
}

std::string ExitReport::text_for(Slot::KillReason const& reason) const noexcept {
  return detail::patiently([&] {
    return worker_name(worker, pid) + " was ended, since a call " +
           (reason.cancelled ? std::string("was cancelled while it ran")
                             : "ran for too long: " + describe(reason.reason));
  });
}

std::exception_ptr ExitReport::reason(Chunk const& attributed) const {
  if (!bad.empty()) {
    return std::make_exception_ptr(
        BadMessage(element_text(*attributed.task, attributed.first, attributed.count) + ": " +
                   worker_name(worker, pid) + " of pool \"" + pool +
                   "\" wrote what cannot be and was ended: " + bad));
  }
  WorkerDeath death;
  death.pool = pool;
  death.worker = static_cast<int>(worker);
  death.pid = pid;
  death.task = attributed.task->id();
  death.element = attributed.first;
  death.label = attributed.task->label().text;
  if (exit.kind == os::Exit::Kind::signalled) death.signal = exit.code;
  if (exit.kind == os::Exit::Kind::exited) death.exit_status = exit.code;
  death.stage = stage;
  death.abandoned = exit.kind == os::Exit::Kind::none;
  detail::Attempts attempts = attributed.task->earlier_attempts(attributed.first);
  death.earlier = std::move(attempts.told);
  death.attempts_failed = attempts.failed;
  death.detail =
      poison ? "one of several workers in a row that died when this element was next in turn"
      : !cause.empty() ? cause
                       : detail_text(exit_hint);
  if (crash && crash->belongs_to(death.signal)) death.crash = crash;
  death.peak_memory = exit.peak;
  // The worker's own value counts only if the system has no value that could contradict it.
  if (death.peak_memory == 0 && death.crash) death.peak_memory = death.crash->peak_bytes();
  death.output = output;
  return std::make_exception_ptr(WorkerDied(std::move(death)));
}

}  // namespace procpool::inline v0_1::parent
