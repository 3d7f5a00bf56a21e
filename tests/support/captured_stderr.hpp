// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// What this process writes to its standard error while the object lives, to be read at any time.

#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <system_error>

namespace support {

class CapturedStderr {
 public:
  CapturedStderr() : file_(::memfd_create("stderr", MFD_CLOEXEC)), before_(::dup(STDERR_FILENO)) {
    if (file_ < 0 || before_ < 0) throw std::system_error(errno, std::generic_category());
    std::fflush(stderr);
    ::dup2(file_, STDERR_FILENO);
  }
  CapturedStderr(CapturedStderr const&) = delete;
  CapturedStderr& operator=(CapturedStderr const&) = delete;
  ~CapturedStderr() {
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
    ::close(file_);
  }

  std::string text() const {
    std::string text(static_cast<std::size_t>(::lseek(file_, 0, SEEK_END)), '\0');
    text.resize(static_cast<std::size_t>(::pread(file_, text.data(), text.size(), 0)));
    return text;
  }

 private:
  int file_;
  int before_;
};

}  // namespace support
