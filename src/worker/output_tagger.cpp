// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#include "worker/output_tagger.hpp"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string_view>
#include <thread>
#include <utility>

#include "protocol/output_tag.hpp"

namespace procpool::inline v0_1::worker {
namespace {

using protocol::output_tag_bytes;
using protocol::output_token_bytes;
using namespace std::chrono_literals;

bool watches_something(int epoll) noexcept {
  std::array<char, 48> path{};
  std::snprintf(path.data(), path.size(), "/proc/thread-self/fdinfo/%d", epoll);
  os::UniqueFd const info(::open(path.data(), O_RDONLY | O_CLOEXEC));
  std::array<char, 512> text{};
  ssize_t const length = ::read(info.get(), text.data(), text.size());
  return length > 0 &&
         std::string_view(text.data(), static_cast<std::size_t>(length)).find("tfd:") !=
             std::string_view::npos;
}

}  // namespace

OutputTagger::OutputTagger(os::UniqueFd pipe, std::string token)
    : pipe_(std::move(pipe)), mark_(std::move(token)) {
  mark_.resize(output_tag_bytes);
  struct stat status{};
  if (::fstat(pipe_.get(), &status) == 0) {
    device_ = status.st_dev;
    inode_ = status.st_ino;
  }
  // Whole lines, also if several threads and children write.
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
}

void OutputTagger::begin(std::uint64_t serial) noexcept {
  std::memcpy(mark_.data() + output_token_bytes, &serial, sizeof serial);
  // In one piece: it is shorter than PIPE_BUF.
  while (::write(pipe_.get(), mark_.data(), mark_.size()) < 0 && errno == EINTR) {
  }
}

bool OutputTagger::end() noexcept {
  std::fflush(stdout);
  try {
    std::cout.flush();
  } catch (...) {  // the task has enabled exceptions of the stream
  }
  return renew();
}

bool OutputTagger::is_pipe(int fd) const noexcept {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && status.st_dev == device_ && status.st_ino == inode_;
}

bool OutputTagger::renew() noexcept {
  std::array<char, 40> path{};
  std::snprintf(path.data(), path.size(), "/proc/thread-self/fd/%d", pipe_.get());
  os::UniqueFd fresh(::open(path.data(), O_WRONLY | O_CLOEXEC));
  if (!fresh) return false;
  if (int const moved = ::fcntl(fresh.get(), F_DUPFD_CLOEXEC, pipe_.get()); moved >= 0) {
    fresh.reset(moved);
  }
  // An epoll instance drops a file when its last descriptor is closed, in all processes.
  os::UniqueFd const watch(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  if (::epoll_ctl(watch.get(), EPOLL_CTL_ADD, pipe_.get(), &event) != 0) return false;
  for (int const fd : {STDOUT_FILENO, STDERR_FILENO}) {
    // The task may have put something else there.
    if (is_pipe(fd)) ::dup2(fresh.get(), fd);
  }
  pipe_ = std::move(fresh);
  // A process that is about to redirect its output, as `command >file &` does, gets some time for
  // it.
  for (auto pause = 100us; watches_something(watch.get()); pause *= 2) {
    if (pause > 5ms) return true;
    std::this_thread::sleep_for(pause);
  }
  return false;
}

}  // namespace procpool::inline v0_1::worker
