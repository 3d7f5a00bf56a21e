// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Trace: what tasks really did, whatever became of their results. A task notes a number by one
// appending write to a file without a name, which only this test process holds; workers find it
// through the environment. A crash of anybody leaves nothing.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace support {

class Trace {
 public:
  static constexpr char const* variable = "TEST_TRACE";

  // Before the pool's first task: workers inherit the environment as it is when they start.
  Trace() : fd_(::memfd_create("trace", MFD_CLOEXEC)) {
    if (fd_ < 0) throw std::runtime_error("no memory for a trace");
    std::string const path = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd_);
    ::setenv(variable, path.c_str(), 1);
  }
  Trace(Trace const&) = delete;
  Trace& operator=(Trace const&) = delete;
  ~Trace() {
    ::unsetenv(variable);
    ::close(fd_);
  }

  // In a task.
  static void note(std::int64_t number) {
    static int const fd = ::open(std::getenv(variable), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (::write(fd, &number, sizeof number) != sizeof number) ::abort();
  }

  // In a task: how often it was noted so far, by whomever.
  static int seen(std::int64_t number) {
    int const fd = ::open(std::getenv(variable), O_RDONLY | O_CLOEXEC);
    int times = 0;
    for (std::int64_t found = 0; ::read(fd, &found, sizeof found) == sizeof found;) {
      times += found == number ? 1 : 0;
    }
    ::close(fd);
    return times;
  }

  // In a task: how many were noted so far, by anybody.
  static std::int64_t total() {
    static int const fd = ::open(std::getenv(variable), O_RDONLY | O_CLOEXEC);
    return ::lseek(fd, 0, SEEK_END) / static_cast<off_t>(sizeof(std::int64_t));
  }

  // All of them, in the order in which they were noted.
  std::vector<std::int64_t> numbers() const {
    off_t const size = ::lseek(fd_, 0, SEEK_END);
    std::vector<std::int64_t> all(static_cast<std::size_t>(size) / sizeof(std::int64_t));
    std::size_t const bytes = all.size() * sizeof(std::int64_t);
    if (::pread(fd_, all.data(), bytes, 0) != static_cast<ssize_t>(bytes)) {
      throw std::runtime_error("the trace cannot be read");
    }
    return all;
  }

  // Number -> how often it was noted.
  std::map<std::int64_t, int> counts() const {
    std::map<std::int64_t, int> counts;
    for (std::int64_t const number : numbers()) ++counts[number];
    return counts;
  }

  std::size_t size() const { return numbers().size(); }

  // Only while no task runs.
  void clear() {
    if (::ftruncate(fd_, 0) != 0) throw std::runtime_error("the trace cannot be emptied");
  }

 private:
  int const fd_;
};

}  // namespace support
