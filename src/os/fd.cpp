// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// Closing, renumbering and duplicating descriptors. Threads: see the header. Nothing here has a
// state that a crash could leave half done.
#include "os/fd.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace procpool::inline v0_1::os {

void UniqueFd::reset(int fd) noexcept {
  int const old = std::exchange(fd_, fd);
  if (old < 0) return;
  int const kept = errno;
  // Not repeated on EINTR: Linux has freed the number by then. A second close could hit a
  // descriptor that another thread has just opened.
  ::close(old);
  errno = kept;
}

namespace {

// The limit with its value. The error of the system call says only that there is a limit.
std::string limit_of_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return {};
  return " (the limit of open descriptors, RLIMIT_NOFILE, is " + std::to_string(limit.rlim_cur) +
         "; ulimit -n raises it)";
}

}  // namespace

void throw_error(int error, std::string const& what) {
  throw std::system_error(error, std::system_category(),
                          error == EMFILE ? what + limit_of_descriptors() : what);
}

void throw_errno(std::string const& what) { throw_error(errno, what); }

std::string proc_hint() {
  int const kept = errno;
  bool const there = ::access("/proc/thread-self/fd", F_OK) == 0;
  errno = kept;
  return there ? std::string() : " (is /proc mounted?)";
}

UniqueFd above_standard(UniqueFd fd) {
  // A descriptor with a good number was opened close-on-exec.
  if (fd.get() >= lowest_descriptor) return fd;
  return duplicate(fd.get());
}

UniqueFd duplicate(int fd) {
  int const copy = ::fcntl(fd, F_DUPFD_CLOEXEC, lowest_descriptor);
  // EINVAL: the limit lies below the lowest number.
  if (copy < 0 && errno == EINVAL) errno = EMFILE;
  if (copy < 0) throw_errno("procpool could not duplicate descriptor " + std::to_string(fd));
  return UniqueFd(copy);
}

}  // namespace procpool::inline v0_1::os
