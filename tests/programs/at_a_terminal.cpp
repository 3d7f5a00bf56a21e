// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program at a terminal that stops background jobs which write to it (`stty tostop`), as its
// workers are to it: they print, change its modes, start a shell that prints, stop themselves as ^Z
// would, and read. None of them is stopped.

#include <fcntl.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>

#include <cerrno>
#include <chrono>

#include "common.hpp"

namespace {

using namespace std::chrono_literals;

int print(int x) {
  std::printf("line %d\n", x);
  std::fflush(stdout);
  return x;
}
int print_by_a_shell(int x) { return std::system("echo from a shell") == 0 ? x : -1; }
int change_modes(int x) {
  termios modes{};
  if (::tcgetattr(STDERR_FILENO, &modes) != 0) return -1;
  modes.c_lflag ^= ECHO;
  return ::tcsetattr(STDERR_FILENO, TCSANOW, &modes) == 0 ? x : -1;
}
int suspend(int x) { return ::raise(SIGTSTP) == 0 ? x : -1; }
// Of a terminal that is its own it is told that it must not; a forked worker has none.
int read_terminal(int x) {
  int const terminal = ::open("/dev/tty", O_RDONLY | O_CLOEXEC);
  char byte = 0;
  if (terminal >= 0 && (::read(terminal, &byte, 1) >= 0 || errno != EIO)) return -1;
  return x;
}

struct Task {
  char const* name;
  int (*function)(int);
};

int at_terminal(procpool::Start start) {
  termios modes{};
  ::tcgetattr(STDOUT_FILENO, &modes);
  modes.c_lflag |= TOSTOP;
  ::tcsetattr(STDOUT_FILENO, TCSANOW, &modes);
  procpool::PoolOptions options;
  options.workers = 1;
  options.start.method = start;
  procpool::ProcessPool pool{options};
  for (Task const task : {Task{"print", &print}, Task{"print by a shell", &print_by_a_shell},
                          Task{"change modes", &change_modes}, Task{"suspend", &suspend},
                          Task{"read", &read_terminal}}) {
    auto future = pool.submit(task.function, 7);
    bool const over = future.wait_for(10s);
    if (!over) pool.terminate();
    programs::check(over, std::string(task.name) + " is not over");
    programs::check(future.get() == 7, task.name);
  }
  programs::check(pool.stats().worker_starts == 1, "one worker has done it all");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  int terminal = -1;
  pid_t const pid = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (pid < 0) return 1;
  if (pid == 0) return at_terminal(programs::start_of(argc, argv));
  char some[4096];
  for (ssize_t got = 0; (got = ::read(terminal, some, sizeof some)) > 0;) {
    static_cast<void>(!::write(STDOUT_FILENO, some, static_cast<std::size_t>(got)));
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return status == 0 ? 0 : 1;
}
