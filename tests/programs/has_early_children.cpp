// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program whose static initialisation starts children, ahead of everything else that is
// initialised: one that executes another program, and one that is only forked. The program prints
// what these children found of a worker's. With the argument "twins" a forked one goes on instead,
// as if it were the process that it was forked from.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cstring>

#include "common.hpp"

namespace {

// Of no constructor's making: there before any of them runs.
std::array<char, 4096> found{};

void note(char const* text) {
  std::strncat(found.data(), text, found.size() - std::strlen(found.data()) - 1);
}

void execute_one() {
  constexpr char const* script =
      "echo executed: mark ${PROCPOOL_WORKER-none}; "
      "for fd in 3 4; do [ ! -e /proc/$$/fd/$fd ] || echo executed: has $fd; done";
  FILE* const told = ::popen(script, "re");
  std::array<char, 256> line{};
  while (told != nullptr && std::fgets(line.data(), line.size(), told) != nullptr)
    note(line.data());
  if (told == nullptr || ::pclose(told) != 0) note("executed: nothing\n");
}

void fork_one() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return note("forked: nothing\n");
  pid_t const child = ::fork();
  if (child == 0) {
    char buffer = 0;
    bool const steals =
        ends[0] != 3 && ends[1] != 3 && ::recv(3, &buffer, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
    bool const has = steals || (ends[0] != 3 && ends[1] != 3 && ::fcntl(3, F_GETFD) >= 0);
    char const answer = has ? 'y' : 'n';
    static_cast<void>(!::write(ends[1], &answer, 1));
    ::_exit(0);
  }
  ::close(ends[1]);
  char answer = '?';
  static_cast<void>(!::read(ends[0], &answer, 1));
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  note(answer == 'n' ? "forked: has no 3\n" : "forked: has 3\n");
}

// As early as a program can: objects of the program are linked ahead of libraries.
__attribute__((constructor(101))) void start_children() {
  if (std::getenv("HAS_EARLY_TWINS") != nullptr) {
    if (procpool::in_worker()) static_cast<void>(::fork());
    return;
  }
  execute_one();
  fork_one();
}

std::string what_they_found() { return found.data(); }

}  // namespace

int main(int argc, char** argv) {
  std::puts("main");
  std::fflush(stdout);
  if (std::getenv("HAS_EARLY_TWINS") == nullptr && argc > 1 && std::string(argv[1]) == "twins") {
    ::setenv("HAS_EARLY_TWINS", "1", 1);
  }
  procpool::ProcessPool pool{
      {.workers = 1,
       .start = {.method = programs::start_of(argc, argv), .timeout = std::chrono::seconds(20)}}};
  for (int i = 0; i < 3; ++i) programs::check(pool.call<programs::square>(i) == i * i, "a result");
  std::fputs(pool.call<what_they_found>().c_str(), stdout);
  return 0;
}
