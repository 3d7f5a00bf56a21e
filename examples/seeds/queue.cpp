// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A producer and a consumer without a sentinel: the producer closes the queue, and every loop over
// it ends when it is drained. This holds for any number of consumers, also if one of them dies.

#include <chrono>
#include <iostream>
#include <procpool.hpp>
#include <string>
#include <thread>
#include <vector>

void producer(procpool::Queue<std::string> const& queue, std::vector<std::string> const& items) {
  for (auto const& item : items) {
    std::cout << "Producer: Putting " << item << " into queue.\n";
    queue.push(item);
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  queue.close();
}

void consumer(procpool::Queue<std::string> const& queue) {
  for (auto const& item : queue) {
    std::cout << "Consumer: Got " << item << " from queue. Processing...\n";
    std::this_thread::sleep_for(std::chrono::milliseconds{7});
  }
  std::cout << "Consumer: Finished.\n";
}

int main() {
  std::cout << "Main process: Setting up producer-consumer with Queue.\n";
  procpool::ProcessOptions const captured{.output = procpool::Output::capture};
  std::vector<std::string> const data_items{"data1", "data2", "data3", "data4"};

  procpool::Queue<std::string> const queue;
  procpool::Process p_producer{captured, producer, queue, data_items};
  procpool::Process p_consumer{captured, consumer, queue};

  p_producer.join();
  p_consumer.join();
  std::cout << p_producer.output() << p_consumer.output()
            << "Main process: Producer and Consumer processes finished.\n";
}
