// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// A pipe or a terminal is opened anew, which gives a file description of its own for O_NONBLOCK. A
// file is written to as it is, since it does not wait and since its position is shared. Whatever
// cannot be opened anew is asked, and gets no more than a pipe with room takes.
#include "os/output.hpp"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "os/fd.hpp"

namespace procpool::inline v0_1::os {
namespace {

UniqueFd opened_anew(int fd) noexcept {
  std::array<char, 40> path{};
  std::snprintf(path.data(), path.size(), "/proc/thread-self/fd/%d", fd);
  return UniqueFd(::open(path.data(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
}

bool takes_some(int fd) noexcept {
  pollfd one{fd, POLLOUT, 0};
  return ::poll(&one, 1, 0) > 0;
}

}  // namespace

std::size_t write_now(int fd, std::string_view text) noexcept {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return text.size();
  UniqueFd const own =
      S_ISFIFO(status.st_mode) || S_ISCHR(status.st_mode) ? opened_anew(fd) : UniqueFd();
  bool const waits = !own && !S_ISREG(status.st_mode) && !S_ISSOCK(status.st_mode);
  std::size_t written = 0;
  while (written < text.size()) {
    std::string_view const rest = text.substr(written);
    ssize_t done = -1;
    if (own) {
      done = ::write(own.get(), rest.data(), rest.size());
    } else if (S_ISSOCK(status.st_mode)) {
      done = ::send(fd, rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    } else if (!waits || takes_some(fd)) {
      done = ::write(fd, rest.data(),
                     waits ? std::min<std::size_t>(rest.size(), PIPE_BUF) : rest.size());
    } else {
      return written;
    }
    if (done < 0 && errno == EINTR) continue;
    if (done < 0 && (errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS)) return written;
    if (done < 0) return text.size();
    written += static_cast<std::size_t>(done);
  }
  return written;
}

}  // namespace procpool::inline v0_1::os
