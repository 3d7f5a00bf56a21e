// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A queue between processes: two producers, two consumers, and an item that kills its consumer.
// With `redeliver`, the item in the hands of the dead is given to another, ahead of the others.

#include <csignal>
#include <iostream>
#include <procpool.hpp>
#include <string>
#include <vector>

struct Order {
  int number;
  std::string item;
};

void take_orders(procpool::Queue<Order> const& orders, int first) {
  for (int i = first; i < first + 50; ++i) orders.push({i, "item " + std::to_string(i)});
}

// The queue holds more types than text: the results have a queue of their own.
void ship(procpool::Queue<Order> const& orders, procpool::Queue<int> const& shipped) {
  for (auto const& order : orders) {  // ends when the queue is closed and drained
    if (order.number == 42 && orders.attempts() == 0) std::raise(SIGKILL);
    shipped.push(order.number);
  }
}

int main() {
  procpool::Queue<Order> const orders{{.items = 16, .redeliver = 1}};  // a full queue blocks push
  procpool::Queue<int> const shipped;

  std::vector<procpool::Process<void>> consumers;
  for (int i = 0; i < 2; ++i) consumers.emplace_back(ship, orders, shipped);
  {
    procpool::Process one{take_orders, orders, 0};
    procpool::Process two{take_orders, orders, 50};
  }  // both are joined here
  orders.close();

  int deaths = 0;
  for (auto& consumer : consumers) {
    try {
      consumer.get();
    } catch (procpool::WorkerDied const&) {
      ++deaths;
    }
  }
  shipped.close();

  int count = 0;
  int sum = 0;
  for (int const number : shipped) {
    ++count;
    sum += number;
  }
  std::cout << deaths << " consumer died, " << orders.lost() << " orders are lost\n"
            << count << " orders were shipped, the sum of their numbers is " << sum << '\n';
}
