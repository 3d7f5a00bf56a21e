// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Leaves while it has three processes of its own that never end: one on the stack, a static one,
// and a leaked one. It writes a line for each. The argument says how they are started. It leaves in
// the way that standard input says: return, exit, _exit.

#include <iostream>
#include <optional>
#include <string>
#include <string_view>

#include "common.hpp"

namespace {

using procpool::End;
using procpool::Process;
using procpool::ProcessOptions;
using procpool::start_process;

void pause_for_ever() {
  ::dprintf(STDOUT_FILENO, "%d\n", static_cast<int>(::getpid()));
  for (;;) ::pause();
}

std::optional<Process<void>> static_one;

}  // namespace

int main(int, char** argv) {
  ProcessOptions options;
  options.start =
      argv[1] == std::string_view("spawn") ? procpool::Start::spawn : procpool::Start::forkserver;
  options.at_exit = End::kill;
  auto const local = start_process<pause_for_ever>(options);
  static_one.emplace(start_process<pause_for_ever>(options));
  static auto* const leaked = new Process<void>(start_process<pause_for_ever>(options));
  static_cast<void>(leaked);
  std::string how;
  std::cin >> how;
  if (how == "_exit") ::_exit(3);
  if (how == "exit") std::exit(4);  // without destroying what is on the stack
  return 6;
}
