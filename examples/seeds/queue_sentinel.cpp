// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A producer and a consumer, as in Python: a last item without a value tells the consumer that no
// more come. This is right for one consumer. See queue.cpp for any number of them.

#include <chrono>
#include <iostream>
#include <optional>
#include <procpool.hpp>
#include <string>
#include <thread>
#include <vector>

using Item = std::optional<std::string>;

void producer(procpool::Queue<Item> const& queue, std::vector<std::string> const& items) {
  for (auto const& item : items) {
    std::cout << "Producer: Putting " << item << " into queue.\n";
    queue.push(item);
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  queue.push(std::nullopt);  // the sentinel
}

void consumer(procpool::Queue<Item> const& queue) {
  while (Item const item = queue.pop().value()) {
    std::cout << "Consumer: Got " << *item << " from queue. Processing...\n";
    std::this_thread::sleep_for(std::chrono::milliseconds{7});
  }
  std::cout << "Consumer: Finished.\n";
}

int main() {
  std::cout << "Main process: Setting up producer-consumer with Queue.\n";
  procpool::ProcessOptions const captured{.output = procpool::Output::capture};
  std::vector<std::string> const data_items{"data1", "data2", "data3", "data4"};

  procpool::Queue<Item> const queue;
  procpool::Process p_producer{captured, producer, queue, data_items};
  procpool::Process p_consumer{captured, consumer, queue};

  p_producer.join();
  p_consumer.join();
  std::cout << p_producer.output() << p_consumer.output()
            << "Main process: Producer and Consumer processes finished.\n";
}
