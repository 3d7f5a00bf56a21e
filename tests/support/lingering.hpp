// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A descriptor whose closing takes its time, for those who must not be held up by it.

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <span>
#include <string>
#include <vector>

#include "os/fd.hpp"
#include "support/send.hpp"

namespace support {

// It is that of a connection whose other end does not read.
class Lingering {
 public:
  static constexpr int seconds = 2;

  Lingering() {
    int const listener = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    bool well = ::bind(listener, generic, size) == 0 && ::listen(listener, 1) == 0 &&
                ::getsockname(listener, generic, &size) == 0;
    int const fd = ::socket(AF_INET, SOCK_STREAM, 0);
    well = well && ::connect(fd, generic, size) == 0;
    other_.reset(::accept(listener, nullptr, nullptr));
    ::close(listener);
    std::string const much(1 << 20, 'm');
    while (::send(fd, much.data(), much.size(), MSG_DONTWAIT) > 0) {
    }
    linger const lingers{1, seconds};
    well = well && ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &lingers, sizeof lingers) == 0;
    one_.reset(fd);
    EXPECT_TRUE(well);
  }
  // It is the receiver's alone from here on.
  void pass(int socket) {
    char const text[] = "large";
    ASSERT_TRUE(send_with(socket, std::as_bytes(std::span(text)), std::vector<int>{one_.get()}));
    one_.reset();
  }

 private:
  procpool::os::UniqueFd other_;
  procpool::os::UniqueFd one_;
};

// True: the call has not waited for it.
template <class Call>
bool at_once(Call&& call) {
  auto const begin = std::chrono::steady_clock::now();
  call();
  return std::chrono::steady_clock::now() - begin < std::chrono::seconds(Lingering::seconds) / 2;
}

}  // namespace support
