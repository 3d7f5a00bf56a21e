#pragma once

// OutputTagger: writes a tag into the pipe that a worker's standard output and error are, ahead of each element; what
// follows is that element's (parent/output_capture.hpp). On the worker's main thread alone; a crash leaves nothing.

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "os/fd.hpp"

namespace procpool::inline v0::worker {

class OutputTagger {
 public:
  OutputTagger() = default;
  // `pipe` is a descriptor of its own, which tasks do not come across.
  OutputTagger(os::UniqueFd pipe, std::string token);

  bool used() const noexcept { return static_cast<bool>(pipe_); }
  void begin(std::uint64_t serial) noexcept;
  // What the element wrote is on its way when this returns. True: another process has what it wrote to (something
  // that it has started, and left behind), so that what comes from now on may not be the next element's.
  bool end() noexcept;

 private:
  bool is_pipe(int fd) const noexcept;
  // The same pipe by a new description. Is the one before still open somewhere?
  bool renew() noexcept;

  os::UniqueFd pipe_;
  dev_t device_ = 0;  // of the pipe, as the next
  ino_t inode_ = 0;
  std::string mark_;
};

}  // namespace procpool::inline v0::worker
