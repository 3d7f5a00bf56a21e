// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Equal keys run in one worker, in the order of their submits: a worker finds again what it keeps
// for a customer, and needs no lock. A queue with a limit holds up a program that is too quick.

#include <iostream>
#include <map>
#include <procpool.hpp>
#include <string>
#include <vector>

namespace {

using Accounts = std::map<std::string, long>;

// The balance after it.
long deposit(std::string const& customer, long amount) {
  return procpool::WorkerLocal<Accounts>::get()[customer] += amount;
}

}  // namespace

int main() {
  procpool::ProcessPool pool{{.workers = 4, .queue_limit = 16}};
  std::vector<std::string> const customers{"ada", "barbara", "edsger"};
  std::map<std::string, procpool::Future<long>> last;
  for (long amount = 1; amount <= 100; ++amount) {
    for (std::string const& customer : customers) {
      last[customer] = pool.with({.key = customer}).submit<deposit>(customer, amount);
    }
  }
  for (auto& [customer, balance] : last) std::cout << customer << ": " << balance.get() << '\n';
}
