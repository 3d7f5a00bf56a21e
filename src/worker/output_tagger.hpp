// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// OutputTagger: writes a tag into the pipe that a worker's standard output and error are, ahead of
// each element; what follows is that element's (parent/output_capture.hpp). On the worker's main
// thread alone; a crash leaves nothing.

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "os/fd.hpp"

namespace procpool::inline v0_1::worker {

class OutputTagger {
 public:
  OutputTagger() = default;
  // `pipe` is a duplicate descriptor that no task uses.
  OutputTagger(os::UniqueFd pipe, std::string token);

  bool used() const noexcept { return static_cast<bool>(pipe_); }
  void begin(std::uint64_t serial) noexcept;
  // The element's output is in the pipe when this returns. True: another process, which the element
  // has left behind, still has the pipe, so later output may not be that of the next element.
  bool end() noexcept;

 private:
  bool is_pipe(int fd) const noexcept;
  // Opens the pipe anew. True: the previous open file description is still in use somewhere.
  bool renew() noexcept;

  os::UniqueFd pipe_;
  dev_t device_ = 0;  // of the pipe, as the next
  ino_t inode_ = 0;
  std::string mark_;
};

}  // namespace procpool::inline v0_1::worker
