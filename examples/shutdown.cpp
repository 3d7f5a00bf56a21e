// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// How a pool ends. The destructor finishes what was accepted; close and join do the same at a
// moment of your choice; terminate does not wait. Whatever happens, every accepted task ends.

#include <chrono>
#include <iostream>
#include <procpool.hpp>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

int square(int x) { return x * x; }
void never_ends() { std::this_thread::sleep_for(24h); }

int main() {
  bool right = true;

  // Futures outlive their pool.
  std::vector<procpool::Future<int>> futures;
  {
    procpool::ProcessPool pool{2};
    for (int x = 0; x < 100; ++x) futures.push_back(pool.submit<square>(x));
  }  // waits for all of them
  for (int x = 0; x < 100; ++x) right &= futures[static_cast<std::size_t>(x)].get() == x * x;

  // close: nothing more is taken. join: close, and wait for the rest.
  procpool::ProcessPool closed{2};
  auto last = closed.submit<square>(7);
  closed.close();
  try {
    closed.call<square>(8);
    right = false;
  } catch (procpool::PoolClosed const& error) {
    std::cout << "PoolClosed: " << error.what() << '\n';
  }
  closed.join();
  right &= last.get() == 49;

  // terminate: workers are killed, and what has not ended says so.
  procpool::ProcessPool stuck{2};
  auto hopeless = stuck.submit<never_ends>();
  right &= !stuck.join_for(50ms);  // not done, and nobody waits for ever to learn that
  stuck.terminate();
  try {
    hopeless.get();
    right = false;
  } catch (procpool::TaskCancelled const& error) {
    std::cout << "TaskCancelled: " << error.what() << '\n';
  }

  // The general form: drain, but not for longer than this.
  procpool::ProcessPool slow{1};
  right &= slow.call<square>(2) == 4;  // its worker is there
  auto too_long = slow.submit<never_ends>();
  auto const summary = slow.shutdown(procpool::End::drain, 50ms);
  right &= summary.cancelled == 1 && summary.forced == 1;

  std::cout << (right ? "every task has ended\n" : "something is wrong\n");
  return right ? 0 : 1;
}
