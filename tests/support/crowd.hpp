// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Crowd: a user may have so many descriptors on their way between processes, and no more. A crowd is
// as many. It gathers in a child process under a user of its own, because the system counts by user.

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "in_child.hpp"
#include "send.hpp"

namespace support {

class Crowd {
 public:
  struct NoLimit {};  // the system sets none

  Crowd() {
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends_.data()) != 0) throw NoLimit();
  }
  Crowd(Crowd const&) = delete;
  Crowd& operator=(Crowd const&) = delete;
  ~Crowd() {
    for (int const end : ends_) ::close(end);
  }

  // Nobody of this user can send a descriptor from now on. Takes rights from this process: what it
  // needs has to be there.
  void gather() {
    constexpr rlimit few{64, 64};
    auto const own = static_cast<uid_t>(20'000 + ::getpid() % 40'000);
    if (::geteuid() == 0 && ::setresuid(own, own, own) != 0) throw NoLimit();
    if (::setrlimit(RLIMIT_NOFILE, &few) != 0) throw NoLimit();
    std::vector<int> const eight(8, ends_[0]);
    std::byte const content{};
    constexpr int most = 100;
    while (send_with(ends_[0], std::span(&content, 1), eight)) {
      if (++packets_ == most) throw NoLimit();
    }
    if (errno != ETOOMANYREFS) throw NoLimit();
  }

  // They arrive.
  void leave() {
    std::byte content{};
    // Without room for the descriptors the system drops them.
    for (; packets_ > 0; --packets_) static_cast<void>(!::recv(ends_[1], &content, 1, 0));
  }

 private:
  std::array<int, 2> ends_{-1, -1};
  int packets_ = 0;
};

// What became of `use` in a child: 'v' it was true, 'w' it was not, 'n' the system sets no such limit,
// else as in_child().
inline char in_a_crowd(std::function<bool(Crowd&)> const& use) {
  return in_child([&use] {
    try {
      Crowd crowd;
      ::_exit(use(crowd) ? 'v' : 'w');
    } catch (Crowd::NoLimit const&) {
      ::_exit('n');
    }
  });
}

}  // namespace support
