#pragma once

// Obituary: how a worker ended, in words and as the reason of the element that it was charged with.
// A value; any thread.

#include <sys/types.h>

#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include "channel/layout.hpp"
#include "engine/crash_report.hpp"
#include "os/process.hpp"
#include "parent/chunk.hpp"

namespace procpool::inline v0::parent {

// "was killed by SIGSEGV", "exited with status 3"
std::string text_of(os::Exit const& exit);
// "SIGTTOU"
std::string text_of_signal(int signal);

// By the user, by somebody's script, by the kernel for want of memory: as far as is known it was not the process
// that is to blame. Of whom nothing is known, because who would know was killed too, neither.
bool may_be_killed_externally(os::Exit const& exit) noexcept;

// Of what an element has written: what an error shows of it.
std::string last_lines(std::string_view output);

struct ExitReport {
  std::string pool;
  int worker = 0;
  pid_t pid = 0;
  os::Exit exit;
  detail::Stage stage = detail::Stage::idle;
  channel::ExitHint exit_hint = channel::ExitHint::none;
  std::string bad;      // not empty: what it wrote cannot be
  bool poison = false;  // the last of several in a row that died before the same element had begun
  std::shared_ptr<detail::CrashReport const> crash{};
  std::string output{};  // the last lines of the element's
  std::string cause{};   // not empty: what it was ended for

  // "worker 3 (pid 4711) was killed by SIGSEGV"
  std::string text() const;

  // WorkerDied, or BadMessage if it wrote what cannot be.
  std::exception_ptr reason(Chunk const& attributed) const;
};

}  // namespace procpool::inline v0::parent
