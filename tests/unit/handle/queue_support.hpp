// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Queues of bytes, and processes that use them.

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <procpool/errors.hpp>

#include "handle/byte_queue.hpp"
#include "support/until.hpp"

namespace queue_tests {

namespace handle = procpool::handle;
using handle::ByteQueue;
using Push = ByteQueue::Push;
using Pop = ByteQueue::Pop;
using namespace std::chrono_literals;

inline std::shared_ptr<ByteQueue> make_queue(std::uint64_t items = 1024,
                                             std::uint64_t bytes = 64 << 20,
                                             unsigned redeliver = 0) {
  return ByteQueue::create(
      {.type = 1, .items = items, .bytes = bytes, .redeliver = redeliver, .tray = 0});
}

inline std::shared_ptr<ByteQueue> adopt_file(procpool::os::UniqueFd file) {
  std::vector<procpool::os::UniqueFd> descriptors;
  descriptors.push_back(std::move(file));
  return ByteQueue::adopt(descriptors);
}

// The same queue, as another process has it.
inline std::shared_ptr<ByteQueue> adopt(ByteQueue const& queue) {
  return adopt_file(queue.file().duplicate());
}

inline std::span<std::byte const> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

inline Push push(ByteQueue& queue, std::string_view text) {
  return queue.push(bytes_of(text), ByteQueue::at_once);
}

// No test waits for ever.
inline ByteQueue::Deadline soon(std::chrono::milliseconds time = support::patience) {
  return std::chrono::steady_clock::now() + time;
}

struct Popped {
  Pop result;
  std::string text;
};

inline Popped pop(ByteQueue& queue, ByteQueue::Deadline const& deadline = ByteQueue::at_once) {
  procpool::detail::Bytes bytes;
  Pop const result = queue.pop(bytes, deadline);
  return {result, {reinterpret_cast<char const*>(bytes.data()), bytes.size()}};
}

// The text of the next item; "(nothing)" and "(ended)" if there is none.
inline std::string next(ByteQueue& queue,
                        ByteQueue::Deadline const& deadline = ByteQueue::at_once) {
  auto popped = pop(queue, deadline);
  if (popped.result == Pop::nothing) return "(nothing)";
  if (popped.result == Pop::ended) return "(ended)";
  return std::move(popped.text);
}

// A forked child that runs `body` and leaves with what it returns. It dies with its parent.
class Child {
 public:
  template <class Body>
  explicit Child(Body const& body) : pid_(::fork()) {
    if (pid_ < 0) throw std::runtime_error("no process to be had");
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::alarm(60);
    int status = 99;
    try {
      status = body();
    } catch (std::exception const& error) {
      std::fprintf(stderr, "child: %s\n", error.what());
    }
    ::_exit(status);
  }
  Child(Child const&) = delete;
  Child& operator=(Child const&) = delete;
  ~Child() {
    if (pid_ > 0) kill();
  }

  pid_t pid() const { return pid_; }
  // The status that it left with; minus the signal that ended it.
  int join() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  void kill() {
    ::kill(pid_, SIGKILL);
    join();
  }

 private:
  pid_t pid_;
};

}  // namespace queue_tests
