// Its tasks never end, and leave children of their own. When it is told how, it dies. Writes a line
// for each process that there is, then waits for its orders on standard input.

#include <atomic>
#include <iostream>
#include <stdexcept>

#include "common.hpp"

namespace {

void pause_with_a_child() {
  pid_t const child = ::fork();
  if (child == 0) {
    for (;;) ::pause();
  }
  ::dprintf(STDOUT_FILENO, "%d\n%d\n", static_cast<int>(::getpid()), static_cast<int>(child));
  for (;;) ::pause();
}

// Busy in user mode, and deaf.
void spin() {
  ::signal(SIGTERM, SIG_IGN);
  ::signal(SIGINT, SIG_IGN);
  ::dprintf(STDOUT_FILENO, "%d\n", static_cast<int>(::getpid()));
  std::atomic<unsigned> count{0};
  for (;;) ++count;
}

}  // namespace

int main() {
  procpool::ProcessPool pool{2};
  auto const first = pool.submit<pause_with_a_child>();
  auto const second = pool.submit<spin>();
  // Waits behind them, in one worker or the other.
  auto const third = pool.submit<programs::square>(3);
  std::string how;
  std::cin >> how;
  if (how == "_exit") ::_exit(3);
  if (how == "abort") std::abort();
  if (how == "throw") throw std::runtime_error("nobody catches this");
  if (how == "exit") std::exit(4);  // without destroying the pool on the stack
  first.wait();
}
