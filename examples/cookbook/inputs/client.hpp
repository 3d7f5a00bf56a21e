// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Clients of a service that answers one line with one line, and the service manager that stops it.

#include <signal.h>
#include <unistd.h>

#include <boost/asio.hpp>
#include <chrono>
#include <iostream>
#include <procpool.hpp>
#include <string>
#include <thread>

namespace inputs {

inline std::string ask(boost::asio::ip::tcp::endpoint const& service, std::string const& request) {
  boost::asio::ip::tcp::iostream stream(service);
  stream << request << std::endl;
  std::string answer;
  std::getline(stream, answer);
  return answer;
}

// Asks, and sends SIGTERM to all processes of the service when it has a further request.
inline void ask_and_stop(boost::asio::ip::tcp::endpoint const& service,
                         procpool::ProcessPool const& pool) {
  for (char const* request : {"first", "crash", "second"}) {
    std::cout << ask(service, request) << std::endl;
  }
  std::jthread const last([&] { std::cout << ask(service, "slow") << std::endl; });
  while (pool.stats().submitted < 4) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  for (auto const& worker : pool.worker_stats()) {
    if (worker.pid != 0) ::kill(worker.pid, SIGTERM);
  }
  ::kill(::getpid(), SIGTERM);
}

}  // namespace inputs
