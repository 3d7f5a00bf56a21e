// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A pipe: questions one way, answers the other. Either side hears at once when the other is gone,
// whichever way it went.

#include <csignal>
#include <iostream>
#include <optional>
#include <procpool.hpp>
#include <string>
#include <utility>

struct Question {
  std::string operation;
  double left = 0;
  double right = 0;
};

using Client = procpool::PipeEnd<Question, double>;  // sends a Question, receives a double
using Server = procpool::PipeEnd<double, Question>;

int calculate(Server pipe) {
  int answered = 0;
  while (auto const question = pipe.receive()) {  // nothing: the client has closed its end
    auto const& [operation, left, right] = *question;
    if (operation == "crash") std::raise(SIGKILL);
    pipe.send(operation == "add" ? left + right : left * right);
    ++answered;
  }
  return answered;
}

double ask(Client& pipe, Question const& question) {
  pipe.send(question);
  return pipe.receive().value();
}

int main() {
  {
    auto [client, server] = procpool::make_pipe<Question, double>();
    procpool::Process calculator{calculate, std::move(server)};  // gives the end away
    std::cout << ask(client, {"add", 1, 2}) << ' ' << ask(client, {"multiply", 3, 4}) << '\n';
    client.close();
    std::cout << calculator.get() << " questions were answered\n";
  }

  auto [client, server] = procpool::make_pipe<Question, double>();
  procpool::Process calculator{calculate, std::move(server)};
  client.send({"add", 5, 6});
  client.send({"crash"});
  std::cout << client.receive().value() << '\n';  // the answer from before the death
  std::cout << (client.receive() ? "another answer\n" : "no more: the calculator is gone\n");
  try {
    while (true) client.send({"add"});
  } catch (procpool::PipeClosed const&) {
    std::cout << "nobody listens\n";
  }
  calculator.join();
  std::cout << "it was killed by signal " << calculator.exit_signal().value() << '\n';
  try {
    calculator.get();
  } catch (procpool::WorkerDied const&) {
    return 0;
  }
}
