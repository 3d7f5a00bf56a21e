// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// An object in a process of its own: it keeps its state from call to call, its crash is not the
// program's, and a checkpoint survives it.

#include <csignal>
#include <iostream>
#include <map>
#include <procpool.hpp>
#include <stdexcept>
#include <string>

struct Inventory {  // a plain struct, so it can be a checkpoint
  std::map<std::string, int> stock{};

  int add(std::string const& item, int count) { return stock[item] += count; }
  int take(std::string const& item, int count) {
    int& left = stock.at(item);  // an exception is the outcome of the call
    if (left < count) throw std::out_of_range("not enough " + item);
    return left -= count;
  }
  void audit() { std::raise(SIGSEGV); }  // a fault
};

int main() {
  procpool::ProcessPool pool{2};
  auto inventory = pool.actor<Inventory>({.restarts = 3, .checkpoint_every = 1});

  // Calls run one at a time, in their order, and the results are futures.
  auto screws = inventory.call<&Inventory::add>("screws", 100);
  auto nails = inventory.call<&Inventory::add>("nails", 30);
  auto left = inventory.call<&Inventory::take>("screws", 25);
  std::cout << screws.get() << " screws, " << nails.get() << " nails, " << left.get()
            << " screws left\n";

  // A lambda without captures sees the object too.
  std::cout << inventory
                   .call(
                       [](Inventory& all, int least) {
                         std::string few;
                         for (auto const& [item, count] : all.stock)
                           few += count < least ? item : "";
                         return few;
                       },
                       50)
                   .get()
            << " are few\n";

  try {
    inventory.call<&Inventory::take>("nails", 31).get();
  } catch (std::out_of_range const& error) {
    std::cout << error.what() << '\n';
  }

  // The call that crashes ends with WorkerDied. The one that waits behind it runs in the next
  // process, whose object has everything that was answered.
  auto audit = inventory.call<&Inventory::audit>();
  auto more = inventory.call<&Inventory::add>("nails", 5);
  try {
    audit.get();
  } catch (procpool::WorkerDied const& died) {
    std::cout << (died.signal() == SIGSEGV ? "the audit crashed\n" : "");
  }
  std::cout << more.get() << " nails in incarnation " << inventory.incarnation() << '\n';
}
