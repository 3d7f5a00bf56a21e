// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// A gate that elements wait at until the test opens it: a file of the test's own that has something
// in it from then on. A task that finds the gate gone with the test goes on too.

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>

namespace support {

class Gate {
 public:
  Gate() : fd_(::memfd_create("gate", MFD_CLOEXEC)) {}
  Gate(Gate const&) = delete;
  Gate& operator=(Gate const&) = delete;
  ~Gate() { ::close(fd_); }

  std::string path() const {
    return "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(fd_);
  }
  void open() const { ASSERT_EQ(::write(fd_, "", 1), 1); }

 private:
  int const fd_;
};

// In an element: `gate` is the path of one.
inline void wait_at(std::string const& gate) {
  std::error_code gone;
  while (std::filesystem::file_size(gate, gone) == 0 && !gone) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

}  // namespace support
