// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// Descriptors that another process has sent, and that are not wanted. Closing one may block for any
// time: a socket that lingers, a terminal that drains, a file of a file system in user space. The
// receiver must not be blocked by that. Any thread. A crash leaves nothing.

#include <utility>
#include <vector>

#include "os/fd.hpp"

namespace procpool::inline v0_1::os {

// True for a file in memory, such as a memfd: no operation on it blocks, nor does closing it. The
// answer comes without touching the file.
bool is_memory_file(int fd) noexcept;

// Closes it on a thread of its own. If there is no thread to be had, it stays open: a lost
// descriptor is better than a blocked program.
void close_elsewhere(UniqueFd fd) noexcept;

// Closes it without blocking, whatever it is: a memory file here, everything else elsewhere.
void discard(UniqueFd fd) noexcept;

// Discards the descriptors that are left in the list when the scope ends.
class DiscardsRest {
 public:
  explicit DiscardsRest(std::vector<UniqueFd>& list) noexcept : list_(list) {}
  DiscardsRest(DiscardsRest const&) = delete;
  DiscardsRest& operator=(DiscardsRest const&) = delete;
  ~DiscardsRest() {
    for (UniqueFd& each : list_) discard(std::move(each));
    list_.clear();
  }

 private:
  std::vector<UniqueFd>& list_;
};

}  // namespace procpool::inline v0_1::os
