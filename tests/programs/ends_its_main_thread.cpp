// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A program whose main thread ends (pthread_exit) while others of it go on: to the system it is
// then its own zombie, and /proc/self is empty. Uses a pool from before and one that is made
// afterwards; with "waits" it leaves a worker at a long task instead, and waits to be killed. With
// "forkserver" workers are forked.

#include <pthread.h>
#include <sched.h>

#include <fstream>
#include <string_view>
#include <thread>

#include "common.hpp"

namespace {

std::vector<char> large(int size) { return std::vector<char>(static_cast<std::size_t>(size), 'x'); }

// A frame of its own, whatever the compiler makes of its caller.
__attribute__((noinline)) int crash_here(int x) {
  ::raise(SIGSEGV);
  return x + ::getppid();
}
int crash(int x) { return crash_here(x) + 1; }

void sleep_for_ever(int) {
  for (;;) ::pause();
}

// Not a process's word for its main thread before that is so.
void wait_until_main_has_ended() {
  for (;;) {
    std::ifstream file("/proc/" + std::to_string(::getpid()) + "/stat");
    std::string text;
    std::getline(file, text);
    auto const name_end = text.rfind(')');
    if (name_end != std::string::npos && text.compare(name_end, 3, ") Z") == 0) return;
    ::sched_yield();
  }
}

void use(procpool::ProcessPool& pool, std::string const& which) {
  programs::check(pool.map<programs::square>(std::vector{1, 2, 3}) == std::vector{1, 4, 9},
                  which + ": a map");
  programs::check(pool.call<large>(8 << 20).size() == 8U << 20, which + ": a large result");
  try {
    pool.call<crash>(7);
    programs::check(false, which + ": no crash");
  } catch (procpool::WorkerDied const& death) {
    // Named by what is mapped into this process.
    bool named = false;
    for (auto const& frame : death.stack()) {
      named |= frame.function.find("crash_here") != std::string::npos;
    }
    programs::check(named, which + ": the stack of the crash has no names");
  }
  programs::check(pool.call<programs::square>(9) == 81, which + ": a call after the crash");
}

}  // namespace

int main(int argc, char** argv) {
  auto const start = programs::start_of(argc, argv);
  bool const waits = argc > 1 && std::string(argv[1]) == "waits";
  auto const ignore = [](std::string_view) {};
  auto* const early =
      new procpool::ProcessPool{{.workers = 2, .start = {.method = start}, .log = ignore}};
  use(*early, "before");
  std::thread([early, start, waits] {
    wait_until_main_has_ended();
    use(*early, "early pool");
    if (waits) {
      auto running = early->submit<sleep_for_ever>(0);
      std::printf("%d\n", early->call<programs::who>());
      std::fflush(stdout);
      running.wait();
    }
    {
      procpool::ProcessPool late{{.workers = 1, .start = {.method = start}}};
      use(late, "late pool");
    }
    delete early;
    std::exit(0);
  }).detach();
  ::pthread_exit(nullptr);
}
