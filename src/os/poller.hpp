// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Poller: a thin wrapper of epoll. One thread waits; any thread may add and remove meanwhile.
// `Ready` entries of one wait may name a descriptor that was removed while they were handled: keys
// should stay meaningful (numbers of a table, not addresses of objects). A crash leaves nothing.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "os/fd.hpp"

namespace procpool::inline v0_1::os {

struct Ready {
  std::uint64_t key;
  std::uint32_t events;  // EPOLL* bits
};

class Poller {
 public:
  Poller();

  // Watches `fd` for `events` (EPOLL* bits, EPOLLET included). epoll watches the open file: a
  // descriptor of which copies exist must be removed before it is closed.
  void add(int fd, std::uint64_t key, std::uint32_t events);

  // Does nothing when `fd` is not watched or not open.
  void remove(int fd) noexcept;

  // Fills the front of `into` and returns how many entries; 0 after the timeout or a signal.
  // Without a timeout it waits until something happens; a negative one is 0.
  std::size_t wait(std::span<Ready> into, std::optional<std::chrono::microseconds> timeout);

  int fd() const noexcept { return fd_.get(); }

 private:
  UniqueFd fd_;
};

}  // namespace procpool::inline v0_1::os
