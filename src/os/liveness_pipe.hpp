// SPDX-FileCopyrightText: The procpool authors
// SPDX-License-Identifier: BSL-1.0

#pragma once

// LivenessPipe: a pipe into which nothing is written. One process alone holds the end for writing.
// When it is gone, the kernel ends the process groups of all processes on the pipe: also of those
// that are stopped, block every signal, or have no thread that gets to run.
//
// A process that was forked from the holder and has not executed another program holds the end too:
// the kernel acts when the last holder is gone. Any thread may call anything here.

#include "os/fd.hpp"

namespace procpool::inline v0_1::os {

class LivenessPipe {
 public:
  // This process becomes the holder.
  LivenessPipe();

  // A new open file on the other end, for one process that hangs on it: the open file stores which
  // group the kernel is to end.
  UniqueFd end() const;

 private:
  UniqueFd held_;
};

// From now on the group of this process ends with the holder, or this process alone if it does not
// lead its group. That lasts while the given open file is open anywhere. Throws std::system_error.
// False: the holder is gone already.
bool hang_on(int liveness_pipe_end);

}  // namespace procpool::inline v0_1::os
