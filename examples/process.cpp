// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Functions in processes of their own: each ends in another way, and the program knows how.

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <iostream>
#include <procpool.hpp>
#include <stdexcept>
#include <string>
#include <thread>

std::string greet(std::string const& name) { return "hello, " + name; }

struct Counter {  // a functor, where Python has a subclass of Process with run()
  int limit;
  int operator()() const {
    int sum = 0;
    for (int i = 1; i <= limit; ++i) sum += i;
    return sum;
  }
};

void crash() { std::raise(SIGSEGV); }
void leave() { std::exit(3); }
void fail() { throw std::out_of_range("no such row"); }

int serve() {
  int rounds = 0;
  while (!procpool::this_task::stop_requested()) {
    std::this_thread::sleep_for(std::chrono::milliseconds{1});
    ++rounds;
  }
  return rounds;
}

int main() {
  // A function, a functor with options, a function as a template argument.
  procpool::Process greeting{greet, "world"};
  procpool::Process counter{{.name = "counter"}, Counter{10}};
  auto server = procpool::start_process<serve>();
  std::cout << greeting.get() << '\n' << "the sum is " << counter.get() << '\n';

  procpool::Process crashes{crash};
  crashes.join();  // throws no error of the function
  std::cout << "signal " << crashes.exit_signal().value() << '\n';

  procpool::Process leaves{leave};
  leaves.join();
  std::cout << "status " << leaves.exit_status().value() << '\n';
  try {
    leaves.get();
  } catch (procpool::WorkerDied const&) {
    std::cout << "without a result\n";
  }

  procpool::Process fails{fail};
  try {
    fails.get();
  } catch (std::out_of_range const& error) {
    std::cout << error.what() << '\n';
  }

  server.request_stop();
  std::cout << (server.get() >= 0 ? "the server has ended in its own way\n" : "");

  try {
    crashes.get();
  } catch (procpool::WorkerDied const& died) {
    return died.signal() == SIGSEGV ? 0 : 1;
  }
}
