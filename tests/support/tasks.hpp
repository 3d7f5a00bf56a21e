// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// The task functions that many tests share. A test takes one by a using-declaration, so that all
// tests of a program can stand in one translation unit.

#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <numeric>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/gate.hpp"
#include "support/trace.hpp"

namespace tasks {

inline void nothing() {}
inline int square(int x) { return x * x; }
inline int add(int a, int b) { return a + b; }
inline int increment(int x) { return x + 1; }
inline int same(int x) { return x; }
inline std::string echo(std::string text) { return text; }
inline std::unique_ptr<int> boxed(int x) { return std::make_unique<int>(x); }
inline int fail(int) { throw std::out_of_range("not here"); }
inline int crash(int) { return ::raise(SIGKILL); }

// The process that runs the task.
inline pid_t who() { return ::getpid(); }
inline pid_t who_runs(int) { return ::getpid(); }

// Calls in this process so far.
inline int counts_up(int) {
  static int count = 0;
  return ++count;
}

inline void sleep_ms(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}
inline int after(int milliseconds) {
  sleep_ms(milliseconds);
  return milliseconds;
}
inline pid_t who_after(int milliseconds) {
  sleep_ms(milliseconds);
  return ::getpid();
}

// These leave their number in the trace of the test.
inline void note(int x) { support::Trace::note(x); }
inline int noted(int x) {
  support::Trace::note(x);
  return x;
}
inline int noted_after(int milliseconds) {
  support::Trace::note(milliseconds);
  return after(milliseconds);
}
inline int hang(int x) {
  support::Trace::note(x);
  std::this_thread::sleep_for(std::chrono::minutes(10));
  return x;
}
// Notes its process.
inline int pause_for_ever(int) {
  support::Trace::note(::getpid());
  for (;;) ::pause();
}

// Notes the index of its worker, and waits at the gate of the test.
inline int waits_at(std::string const& gate) {
  support::Trace::note(procpool::worker_index());
  support::wait_at(gate);
  return procpool::worker_index();
}
// Notes its number once the gate is open.
inline int note_behind(int number, std::string const& gate) {
  support::wait_at(gate);
  return noted(number);
}

// Inputs: 0, 1, and so on.
inline std::vector<int> numbers(int count) {
  std::vector<int> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

}  // namespace tasks
