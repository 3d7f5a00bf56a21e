// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Leaves while it has pools of every kind: a global one and one on the stack with tasks that never
// end and have children of their own, a static one and a leaked one that are idle. It leads a
// process group, as a program does that a shell has started, and writes a line for each process
// that there is. The argument says who ends it:
//   (none)   it leaves by itself, in the way that standard input says: return, exit, ...
//   kill     a thread that takes SIGINT and SIGTERM by sigwait terminates the pools
//   cancel   that thread lets what runs finish, and cancels the rest
// With LEAVES_FORKSERVER in the environment, workers are forked from templates.

#include <atomic>
#include <chrono>
#include <iostream>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "common.hpp"

namespace {

using procpool::End;

void say(pid_t pid) { ::dprintf(STDOUT_FILENO, "%d\n", static_cast<int>(pid)); }

[[noreturn]] void pause_for_ever() {
  for (;;) ::pause();
}

// With a child and a grandchild, in the worker's process group.
void pause_with_children() {
  if (::fork() == 0) {
    if (::fork() == 0) ::signal(SIGHUP, SIG_IGN);
    say(::getpid());
    pause_for_ever();
  }
  say(::getpid());
  pause_for_ever();
}

// Busy in user mode, and deaf.
void spin() {
  for (int const signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) ::signal(signal, SIG_IGN);
  say(::getpid());
  std::atomic<unsigned> count{0};
  for (;;) ++count;
}

// All of its worker's threads are stopped.
void stop_itself() {
  say(::getpid());
  ::raise(SIGSTOP);
  pause_for_ever();
}

int take_a_while(int x) {
  say(::getpid());
  std::this_thread::sleep_for(std::chrono::milliseconds(400));
  return x;
}

// For all pools, also the one that is there before main.
procpool::Start const start = std::getenv("LEAVES_FORKSERVER") == nullptr
                                  ? procpool::Start::spawn
                                  : procpool::Start::forkserver;

procpool::ProcessPool global{
    {.workers = 1, .start = {.method = start}, .shutdown = {.at_exit = End::kill}}};

procpool::ProcessPool& local_static() {
  static procpool::ProcessPool pool{{.workers = 1, .start = {.method = start}}};
  return pool;
}

// Begun and cancelled elements only, whatever the terminal has sent to whom.
int finish_what_runs(procpool::ProcessPool& pool) {
  int values = 0;
  for (auto const& outcome : pool.outcomes().map<take_a_while>(std::vector<int>(1'000))) {
    if (outcome.has_value()) {
      ++values;
    } else {
      programs::error_text<procpool::TaskCancelled>([&] { outcome.value(); });
    }
  }
  programs::check(values > 0 && values < 1'000, std::to_string(values) + " values");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view const handling = argc > 1 ? argv[1] : "";
  ::setpgid(0, 0);
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGINT);
  sigaddset(&ends, SIGTERM);
  if (!handling.empty()) ::pthread_sigmask(SIG_BLOCK, &ends, nullptr);

  procpool::ProcessPool pool{
      {.workers = 3, .start = {.method = start}, .shutdown = {.at_exit = End::kill}}};
  std::thread handler;
  if (!handling.empty()) {
    handler = std::thread([&] {
      int signal = 0;
      ::sigwait(&ends, &signal);
      pool.shutdown(handling == "kill" ? End::kill : End::cancel);
    });
  }
  say(local_static().call<programs::who>());
  static auto* const leaked = new procpool::ProcessPool(
      {.workers = 1, .start = {.method = start}});  // static: no leak to a leak checker
  say(leaked->call<programs::who>());
  if (handling == "cancel") {
    int const result = finish_what_runs(pool);
    handler.join();
    delete leaked;
    return result;
  }
  auto const in_global = global.submit<pause_with_children>();
  auto first = pool.submit<pause_with_children>();
  auto const second = pool.submit<spin>();
  auto const third = pool.submit<stop_itself>();
  auto const behind = pool.submit<programs::square>(3);
  if (handling == "kill") {
    programs::error_text<procpool::TaskCancelled>([&] { first.get(); });
    handler.join();
    delete leaked;
    return 0;
  }
  std::string how;
  std::cin >> how;
  if (how == "_exit") ::_exit(3);
  if (how == "quick_exit") std::quick_exit(5);
  if (how == "abort") std::abort();
  if (how == "throw") throw std::runtime_error("nobody catches this");
  if (how == "exit") std::exit(4);  // without destroying what is on the stack
  if (how == "return") return 6;
  first.wait();
}
