// A lifeline: a pipe into which nobody writes, and of which one process alone holds the end for writing. When
// that process is gone the kernel itself ends the process groups of all who hang on it: also of those that are
// stopped, that block every signal, or whose threads do not get to run.
//
// A process that was forked from the holder and has not executed another program holds that end too: the
// kernel then acts when the last of them is gone. Any thread may call anything here. A crash is what it is for.
#pragma once

#include "os/fd.hpp"

namespace procpool::inline v0::os {

class LivenessPipe {
 public:
  // Of this process.
  LivenessPipe();

  // An open file of its own on the other end, for one who is to hang on it: whose group is to be ended is
  // noted in the open file.
  UniqueFd end() const;

 private:
  UniqueFd held_;
};

// From here on this process' group ends with the lifeline, or this process alone if it does not lead its group;
// as long as the open file that was given is open anywhere. Throws std::system_error. False: the holder is gone
// already.
bool hang_on(int liveness_pipe_end);

}  // namespace procpool::inline v0::os
