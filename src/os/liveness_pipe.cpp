// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

// The pipe, and the signal for its closing. Nothing is ever written, so the pipe has one event: its
// last end for writing is closed. The signal of that event is SIGKILL.
#include "os/liveness_pipe.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <string>

namespace procpool::inline v0_1::os {

LivenessPipe::LivenessPipe() {
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) throw_errno("procpool could not make a pipe");
  UniqueFd const read(ends[0]);
  held_ = above_standard(UniqueFd(ends[1]));
  // A program that drops its rights later can still open ends. No unprivileged process can open one
  // for writing.
  if (::fchmod(held_.get(), S_IRUSR | S_IRGRP | S_IROTH) != 0) {
    throw_errno("procpool could not set the mode of a pipe");
  }
}

UniqueFd LivenessPipe::end() const {
  std::string const path = "/proc/thread-self/fd/" + std::to_string(held_.get());
  // There is a writer, so open() does not wait for one.
  int const fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) throw_errno("procpool could not open the end of a pipe as " + path + proc_hint());
  return above_standard(UniqueFd(fd));
}

bool hang_on(int liveness_pipe_end) {
  pid_t const self = ::getpid();
  int const flags = ::fcntl(liveness_pipe_end, F_GETFL);
  if (flags < 0 || ::fcntl(liveness_pipe_end, F_SETSIG, SIGKILL) != 0 ||
      ::fcntl(liveness_pipe_end, F_SETOWN, ::getpgrp() == self ? -self : self) != 0 ||
      ::fcntl(liveness_pipe_end, F_SETFL, flags | O_ASYNC) != 0) {
    throw_errno("procpool could not have a worker end with the program");
  }
  // A death before fcntl() sent no signal.
  pollfd hung_up{liveness_pipe_end, POLLIN, 0};
  return ::poll(&hung_up, 1, 0) <= 0 || (hung_up.revents & POLLHUP) == 0;
}

}  // namespace procpool::inline v0_1::os
