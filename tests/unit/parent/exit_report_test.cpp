// How a worker ended, and who is to blame for it.
#include "parent/exit_report.hpp"

#include <gtest/gtest.h>

#include <csignal>

namespace {

namespace os = procpool::os;
using procpool::parent::may_be_killed_externally;

TEST(ExitReport, SomebodyElseMayHaveKilledIt) {
  EXPECT_TRUE(may_be_killed_externally({os::Exit::Kind::signalled, SIGKILL}));
  EXPECT_TRUE(may_be_killed_externally({}))
      << "nothing is known of whose parent was killed with it";
  EXPECT_FALSE(may_be_killed_externally({os::Exit::Kind::signalled, SIGSEGV}));
  EXPECT_FALSE(may_be_killed_externally({os::Exit::Kind::exited, 1}));
  EXPECT_FALSE(may_be_killed_externally({os::Exit::Kind::exited, 0}));
}

}  // namespace
