// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Pipe: two ends, one of which is given to the other process. Who gives an end away has it no more,
// so nobody can forget to close it.

#include <iostream>
#include <optional>
#include <procpool.hpp>
#include <string>
#include <utility>

struct Message {  // a pipe has a type, where Python's list [42, None, 'hello'] has none
  int number;
  std::optional<int> nothing;
  std::string text;
};

void f(procpool::PipeEnd<Message> conn) { conn.send({42, std::nullopt, "hello"}); }

int main() {
  auto [parent_conn, child_conn] = procpool::make_pipe<Message>();
  procpool::Process p{f, std::move(child_conn)};

  Message const message = parent_conn.receive().value();
  std::cout << '[' << message.number << ", " << (message.nothing ? "a number" : "None") << ", '"
            << message.text << "']\n";
  p.join();

  // Python raises EOFError here, provided that the child's end was closed in this process too.
  if (!parent_conn.receive()) std::cout << "EOF\n";
}
