// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Memory that all processes share: an array that tasks fill in place, a struct behind a lock whose
// holder may die, a flag that others wait for.

#include <csignal>
#include <iostream>
#include <numeric>
#include <procpool.hpp>
#include <span>
#include <utility>
#include <vector>

struct Account {
  long balance = 1000;
  long bookings = 0;
};

// A function needs to know nothing of shared memory: a SharedArray serves as a span.
void halve(std::span<double> numbers) {
  for (double& number : numbers) number /= 2;
}
double sum(std::span<double const> numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0.0);
}

procpool::SharedArray<double> squares(int count) {
  procpool::SharedArray<double> result(count);
  for (int i = 0; i < count; ++i) result[static_cast<std::size_t>(i)] = i * i;
  return result;  // 24 bytes travel
}

void book(procpool::SharedValue<Account> const& account, long amount) {
  account.with_lock([&](Account& value) {
    value.balance += amount;
    if (amount == 0) std::raise(SIGKILL);  // the process dies with its work half done
    ++value.bookings;
  });
}

bool wait_for_start(procpool::SharedValue<bool> const& started) { return started.wait(false); }

int main() {
  procpool::ProcessPool pool{2};

  auto numbers = pool.call<squares>(1000);
  pool.parallelize<halve>(numbers);  // slices are handles too
  std::cout << "sum " << pool.call<sum>(numbers) << '\n';

  // From here on nobody can write to it, in no process.
  procpool::SharedArray<double const> const frozen = std::move(numbers).freeze();
  std::cout << (frozen.frozen() ? "frozen, " : "") << frozen[999] << '\n';

  procpool::SharedValue<Account> const account;
  pool.map(procpool::bind_front(book, account), std::vector<long>(100, 5));
  std::cout << account.get().balance << " after " << account.get().bookings << " bookings\n";

  try {
    pool.call<book>(account, 0L);
  } catch (procpool::WorkerDied const&) {
    std::cout << "a worker died\n";
  }
  try {
    account.get();
  } catch (procpool::HolderDied const&) {
    std::cout << "its booking may be half done\n";
  }
  auto const recount = [](Account& value) { value.bookings = (value.balance - 1000) / 5; };
  std::cout << account.with_lock([](Account& value) { return value.bookings; }, recount)
            << " bookings after the repair\n";

  procpool::SharedValue<bool> const started(false);
  auto waiting = pool.submit<wait_for_start>(started);
  started.store(true);
  std::cout << (waiting.get() ? "started\n" : "");
}
