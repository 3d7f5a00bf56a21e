// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A runner of tests, each in a process of its own. No test sees what another one did, and a test
// that crashes or hangs is one line of the report.

#include <cstring>
#include <iostream>
#include <procpool.hpp>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace std::chrono_literals;

int counter = 0;  // a global that tests leave changed

void expect(bool condition, char const* text) {
  if (!condition) throw std::runtime_error(text);
}

void counts_from_zero() { expect(++counter == 1, "the counter was not 0"); }
void counts_again() { expect(++counter == 1, "the counter was not 0"); }
void halves() { expect(7 / 2 * 2 == 7, "two halves of 7 are not 7"); }
void calls_back() {
  std::cout << "about to call back" << std::endl;  // flushed ahead of the crash
  void (*volatile callback)() = nullptr;
  callback();
}
void waits() {
  for (;;) std::this_thread::sleep_for(1s);
}

struct Test {
  char const* name;
  void (*run)();
};
Test const tests[] = {{"counts_from_zero", counts_from_zero},
                      {"counts_again", counts_again},
                      {"halves", halves},
                      {"calls_back", calls_back},
                      {"waits", waits}};

// The worker is the same program, so the number of a test is enough.
void run(std::size_t number) { tests[number].run(); }

}  // namespace

int main() {
  procpool::ProcessPool pool{{.workers = 2,
                              .name = "tests",
                              .lifetime = {.max_tasks = 1},  // a fresh process for each
                              .output = {.mode = procpool::Output::capture},
                              .defaults = {.timeout = 3s}}};
  std::size_t good = 0;
  std::size_t number = 0;
  // In order, and each line as soon as it is known.
  for (auto const& outcome :
       pool.outcomes().imap<run>(std::views::iota(std::size_t{0}, std::size(tests)))) {
    std::cout << tests[number++].name << ": ";
    if (outcome) {
      std::cout << "ok\n";
      ++good;
    } else if (outcome.error().kind() == procpool::FailureKind::timed_out) {
      std::cout << "took too long\n";
    } else if (auto const* died = outcome.error().as<procpool::WorkerDied>()) {
      std::cout << "killed by SIG" << ::sigabbrev_np(died->signal().value_or(0)) << '\n';
    } else {
      std::cout << "failed: " << outcome.error().what() << '\n';
    }
    if (!outcome.output().empty()) std::cout << "  it printed: " << outcome.output();
  }
  std::cout << good << " of " << number << " passed\n";
}
