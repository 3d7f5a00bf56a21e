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

struct Limit {
  int error;  // of the system call, which says no more than that there is a limit
  decltype(RLIMIT_NOFILE) resource;
  char const* name;
  char const* unit;
  char const* option;  // of ulimit
};
constexpr Limit limits[] = {
    {EMFILE, RLIMIT_NOFILE, "open descriptors, RLIMIT_NOFILE,", "", "-n"},
    {EFBIG, RLIMIT_FSIZE, "the size of a file, RLIMIT_FSIZE,", " bytes", "-f"},
    {ENOMEM, RLIMIT_AS, "address space, RLIMIT_AS,", " bytes", "-v"},
};

// The limit of this process that may be the reason, with its value.
std::string limit_behind(int error) {
  for (Limit const& limit : limits) {
    rlimit value{};
    if (error != limit.error || ::getrlimit(limit.resource, &value) != 0) continue;
    if (value.rlim_cur == RLIM_INFINITY) continue;
    return std::string(" (the limit of ") + limit.name + " is " + std::to_string(value.rlim_cur) +
           limit.unit + "; ulimit " + limit.option + " raises it)";
  }
  return {};
}

}  // namespace

void throw_error(int error, std::string const& what) {
  throw std::system_error(error, std::system_category(), what + limit_behind(error));
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
