// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The machine's limit for starting workers: children by posix_spawn and by fork, until each has
// written a byte, and until they are gone. A spawned child is this program, which says so first
// thing.

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/program.hpp"
#include "support/shapes.hpp"

extern char** environ;

namespace bench {
namespace {

char const* const mark = "bench-child";
constexpr int out = 3;

[[maybe_unused]] bool const child = [] {
  // The arguments are not known here yet; a name that only we give stands in the environment.
  if (std::getenv(mark) == nullptr) return false;
  std::_Exit(write(out, "x", 1) == 1 ? 0 : 1);
}();

pid_t spawn(int pipe_end) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, pipe_end, out);
  std::string variable = std::string(mark) + "=1";
  std::string name = "child";
  char* arguments[] = {name.data(), nullptr};
  char* environment[] = {variable.data(), nullptr};
  pid_t pid = 0;
  int const error = posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, arguments, environment);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error("posix_spawn failed");
  return pid;
}

pid_t fork_only(int pipe_end) {
  auto const pid = fork();
  if (pid == 0) std::_Exit(write(pipe_end, "x", 1) == 1 ? 0 : 1);
  if (pid < 0) throw std::runtime_error("fork failed");
  return pid;
}

template <pid_t (*Start)(int)>
void start(Measure const& measure, int count) {
  measure_once(measure, [&] {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
    std::vector<pid_t> pids;
    for (int i = 0; i < count; ++i) pids.push_back(Start(ends[1]));
    char byte = 0;
    for (int i = 0; i < count; ++i) {
      if (read(ends[0], &byte, 1) != 1) throw std::runtime_error("a child said nothing");
    }
    for (auto const pid : pids) waitpid(pid, nullptr, 0);
    close(ends[0]);
    close(ends[1]);
  });
}

[[maybe_unused]] bool const added = [] {
  std::pair<char const*, int> const counts[] = {{"start_2", 2}, {"start_64", 64}, {"recover", 1}};
  for (auto const& [name, count] : counts) {
    Add(name, "raw spawn", "ms", [count = count](Measure const& m) { start<spawn>(m, count); });
    Add(name, "raw fork", "ms", [count = count](Measure const& m) { start<fork_only>(m, count); });
  }
  return true;
}();

}  // namespace
}  // namespace bench
