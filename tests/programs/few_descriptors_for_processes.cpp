// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A host that may have 100 descriptors starts processes until it cannot. The error says why, the
// processes that exist go on, and others can be started when they have ended.

#include <sys/resource.h>

#include <string>
#include <vector>

#include "common.hpp"

namespace {

void pause_for_ever() {
  for (;;) ::pause();
}

}  // namespace

int main() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = 100;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  std::vector<procpool::Process<void>> processes;
  std::string text;
  while (processes.size() < 100 && text.empty()) {
    try {
      processes.push_back(
          procpool::start_process<pause_for_ever>({.at_exit = procpool::End::kill}));
    } catch (procpool::SetupError const& error) {
      text = error.what();
    }
  }
  programs::check(processes.size() > 10 && processes.size() < 34,
                  std::to_string(processes.size()) + " processes");
  std::vector<std::string> const parts{"RLIMIT_NOFILE, is 100",
                                       std::to_string(processes.size()) + " others", "ulimit -n"};
  for (std::string const& part : parts) {
    programs::check(text.find(part) != std::string::npos, text);
  }
  for (auto const& process : processes) programs::check(process.alive(), "it lives on");
  processes.clear();
  programs::check(procpool::start_process<programs::square>(3).get() == 9, "another one");
}
