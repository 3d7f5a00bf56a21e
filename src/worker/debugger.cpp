// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "worker/debugger.hpp"

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>

#include <procpool/entry.hpp>

#include "os/activity.hpp"

namespace procpool::inline v0_1::worker {
namespace {

bool is_wanted(std::string_view wanted, std::string_view function) {
  if (wanted == "*" || wanted == function) return true;
  return function.size() > wanted.size() + 2 && function.ends_with(wanted) &&
         function.substr(0, function.size() - wanted.size()).ends_with("::");
}

bool is_traced() {
  constexpr int no_pidfd = -1;
  return os::activity_of(no_pidfd, ::getpid()).tracer != 0;
}

}  // namespace

void wait_for_debugger(std::string_view function) {
  using namespace std::chrono_literals;
  char const* const wanted = std::getenv("PROCPOOL_WAIT_FOR_DEBUGGER");
  if (wanted == nullptr || !is_wanted(wanted, function) || is_traced()) return;
  std::string const pid = std::to_string(::getpid());
  std::string const text = "procpool: worker " + std::to_string(worker_index()) + " (process " +
                           pid + ") waits for a debugger before it runs " + std::string(function) +
                           ": gdb -p " + pid + "\n";
  static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
  while (!is_traced()) std::this_thread::sleep_for(50ms);
}

}  // namespace procpool::inline v0_1::worker
