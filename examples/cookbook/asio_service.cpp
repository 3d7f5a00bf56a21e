// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A service by Boost.Asio. Requests are worked on in a pool, so that none of them can take the
// service down, and SIGTERM stops it without loss: what was accepted is answered.

#include <boost/asio.hpp>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <memory>
#include <procpool.hpp>
#include <string>
#include <thread>

#include "inputs/client.hpp"

namespace asio = boost::asio;
using asio::ip::tcp;
using namespace std::chrono_literals;

std::string work(std::string const& request) {
  if (request == "crash") std::abort();
  if (request == "slow") std::this_thread::sleep_for(200ms);
  return request + " done";
}

struct Session {
  tcp::socket peer;
  std::string text{};
};

void answer(std::shared_ptr<Session> const& session, procpool::ProcessPool& pool) {
  auto const work_on = [session, &pool](boost::system::error_code error, std::size_t length) {
    if (error) return;
    // What follows the worker's answer runs on the service's thread, whose loop waits for it.
    auto const executor = session->peer.get_executor();
    auto guard = std::make_shared<decltype(asio::make_work_guard(executor))>(executor);
    auto const on_service = [executor](auto go_on) { asio::post(executor, std::move(go_on)); };
    auto answered = pool.with({.executor = on_service, .timeout = 20s})
                        .outcomes()
                        .submit<work>(session->text.substr(0, length - 1))
                        .then([session, guard](procpool::Outcome<std::string> const& result) {
                          session->text = result.value_or("sorry") + '\n';
                          asio::async_write(session->peer, asio::buffer(session->text),
                                            [session](auto const&, std::size_t) {});
                        });
  };
  asio::async_read_until(session->peer, asio::dynamic_buffer(session->text, 4096), '\n', work_on);
}

void serve(tcp::acceptor& acceptor, procpool::ProcessPool& pool) {
  acceptor.async_accept([&](boost::system::error_code error, tcp::socket peer) {
    if (error) return;  // the acceptor is closed
    answer(std::make_shared<Session>(std::move(peer)), pool);
    serve(acceptor, pool);
  });
}

int main() {
  // A service manager sends SIGTERM to all processes of a service. The workers leave it to the program.
  procpool::ProcessPool pool{{.workers = 2, .shutdown = {.ignore_sigterm = true}}};
  asio::io_context service;
  tcp::acceptor acceptor(service, {asio::ip::address_v4::loopback(), 0});
  serve(acceptor, pool);
  asio::signal_set signals(service, SIGTERM, SIGINT);
  signals.async_wait([&](auto, int) { acceptor.close(); });

  std::jthread clients(inputs::ask_and_stop, acceptor.local_endpoint(), std::cref(pool));
  service.run();  // until the acceptor is closed and all requests are answered
  clients.join();
  std::cout << "stopped after " << pool.shutdown(procpool::End::drain, 5s).done << " requests\n";
}
