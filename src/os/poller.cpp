// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The epoll calls. One thread waits, any thread adds and removes; a crash leaves nothing.
#include "os/poller.hpp"

#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <string>

namespace procpool::inline v0_1::os {

using namespace std::chrono_literals;

Poller::Poller() {
  int const fd = ::epoll_create1(EPOLL_CLOEXEC);
  if (fd < 0) throw_errno("procpool could not make an epoll descriptor");
  fd_ = above_standard(UniqueFd(fd));
}

void Poller::add(int fd, std::uint64_t key, std::uint32_t events) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = key;
  if (::epoll_ctl(fd_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    throw_errno("procpool could not watch descriptor " + std::to_string(fd));
  }
}

void Poller::remove(int fd) noexcept {
  epoll_event ignored{};
  // The call fails only for a descriptor that is not watched or not open.
  ::epoll_ctl(fd_.get(), EPOLL_CTL_DEL, fd, &ignored);
}

std::size_t Poller::wait(std::span<Ready> into, std::optional<std::chrono::microseconds> timeout) {
  if (into.empty()) throw_error(EINVAL, "procpool cannot wait for events without room for them");
  std::array<epoll_event, 64> events;
  int const room = static_cast<int>(std::min(into.size(), events.size()));
  int milliseconds = -1;
  if (timeout && *timeout > 0us && *timeout < 1ms) {
    // epoll_wait() knows only milliseconds. Its descriptor is readable when there is an event.
    timespec const time{0, static_cast<long>(timeout->count()) * 1000};
    pollfd self{fd_.get(), POLLIN, 0};
    if (::ppoll(&self, 1, &time, nullptr) <= 0) return 0;
    milliseconds = 0;
  } else if (timeout) {
    milliseconds = static_cast<int>(std::clamp<std::chrono::milliseconds::rep>(
        std::chrono::ceil<std::chrono::milliseconds>(*timeout).count(), 0,
        std::numeric_limits<int>::max()));
  }
  int const n = ::epoll_wait(fd_.get(), events.data(), room, milliseconds);
  if (n < 0) {
    if (errno == EINTR) return 0;
    throw_errno("procpool could not wait for events");
  }
  auto const count = static_cast<std::size_t>(n);
  for (std::size_t i = 0; i < count; ++i) into[i] = {events[i].data.u64, events[i].events};
  return count;
}

}  // namespace procpool::inline v0_1::os
