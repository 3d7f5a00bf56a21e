// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "os/event.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>

namespace procpool::inline v0_1::os {

Event::Event() {
  int const fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) throw_errno("procpool could not make an eventfd");
  fd_ = above_standard(UniqueFd(fd));
}

bool Event::notify() const noexcept {
  int const kept = errno;
  std::uint64_t const one = 1;
  ssize_t n = -1;
  do n = ::write(fd_.get(), &one, sizeof one);
  while (n < 0 && errno == EINTR);
  // A full counter (EAGAIN) has notified for long: a thread that polls it is awake.
  bool const notified = n == static_cast<ssize_t>(sizeof one) || (n < 0 && errno == EAGAIN);
  errno = kept;
  return notified;
}

std::uint64_t Event::drain() const noexcept {
  int const kept = errno;
  std::uint64_t count = 0;
  ssize_t n = -1;
  do n = ::read(fd_.get(), &count, sizeof count);
  while (n < 0 && errno == EINTR);
  errno = kept;
  return n == static_cast<ssize_t>(sizeof count) ? count : 0;
}

}  // namespace procpool::inline v0_1::os
