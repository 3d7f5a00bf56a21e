// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A socket pair as a queue of items, where each packet goes to one of those that read, and as a pipe.

#include <sys/socket.h>

#include <array>
#include <stdexcept>
#include <utility>

#include "support/item_shapes.hpp"

namespace bench {
namespace {

struct Socket {
  int descriptor = -1;

  void send(Item const& item) const {
    if (::send(descriptor, &item, sizeof item, MSG_NOSIGNAL) != sizeof item) ::_exit(1);
  }
  Item receive() const {
    Item item;
    if (::recv(descriptor, &item, sizeof item, 0) != sizeof item) ::_exit(1);
    return item;
  }
};

std::array<int, 2> socket_pair() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    throw std::runtime_error("no sockets");
  }
  return ends;
}

class Sockets {
 public:
  Sockets() = default;
  Sockets(Sockets&& other) noexcept : ends_(std::exchange(other.ends_, {-1, -1})) {}
  Sockets& operator=(Sockets&&) = delete;
  ~Sockets() {
    for (int const end : ends_) {
      if (end >= 0) ::close(end);
    }
  }

  void push(Item const& item) const { Socket{ends_[0]}.send(item); }
  Item pop() const { return Socket{ends_[1]}.receive(); }

 private:
  std::array<int, 2> ends_ = socket_pair();
};

// One end of a socket pair; a child has the other.
class SocketEnd {
 public:
  SocketEnd() : SocketEnd(socket_pair()) {}

  void send(Item const& item) const { here_.send(item); }
  Item receive() const { return here_.receive(); }

  SocketEnd(SocketEnd const&) = delete;
  SocketEnd& operator=(SocketEnd const&) = delete;
  ~SocketEnd() { ::close(here_.descriptor); }

 private:
  explicit SocketEnd(std::array<int, 2> ends)
      : child_([there = ends[1]] {
          Socket const socket{there};
          answer_items(socket);
        }),
        here_{ends[0]} {
    ::close(ends[1]);
  }

  Child child_;
  Socket here_;
};

[[maybe_unused]] bool const added = [] {
  add_item_cases("raw socket pair", [] { return Sockets(); });
  add_pipe_cases("raw socket pair", [] { return SocketEnd(); });
  return true;
}();

}  // namespace
}  // namespace bench
